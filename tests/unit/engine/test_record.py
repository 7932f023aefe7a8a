"""The ledger's rows lead to the same counters that the holds were taken from, and to those of new limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from gateway.engine.counters import Rule
from gateway.engine.record import LedgerRecord, actual, with_hold
from gateway.images.amounts import Charge, NanoDollars, Usage
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt, NewRequest
from gateway.ledger.rollups import roll_up
from gateway.ledger.tables import to_micros
from gateway.ledger.touched import ROLLUPS
from gateway.quota.away import GuardedStore
from gateway.quota.holds import Hold, State
from gateway.quota.keeper import Keeper, Kept
from gateway.quota.local import LocalQuotaStore
from gateway.quota.of_settings import nobody
from gateway.quota.outcomes import Admitted, Epoch, Reservation
from gateway.quota.terms import Level, Limit, Measure, Scope
from gateway.quota.windows import Calendar, Period, to_ms

START = to_ms(datetime(2026, 11, 20, 12, 7, 13, tzinfo=UTC))
HOUR = 3_600_000
HIGH = 2**40
PROJECTS, KEYS, MODELS, USERS = (
    ("p:1", "p2"),
    ("k1", "k/2"),
    ("m@1", "m2"),
    ("anna", "a\0\ud800" + "x" * 2000),
)
WINDOWS: Sequence[tuple[Period, bool]] = (
    ("hour", False),
    ("day", False),
    ("month", False),
    ("total", False),
    ("minute", True),
    ("hour", True),
    ("day", True),
    ("week", True),
)
MEASURES = (Measure.SPEND, Measure.IMAGES, Measure.REQUESTS, Measure.TOKENS)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def scopes(project: str, key: str, user: str | None, model: str) -> list[tuple[Scope, Rule]]:
    found = []
    for name in (None, model):
        rule = Rule(Level.ORGANIZATION, Measure.SPEND, "day", model=name)
        found.append((Scope.organization(model=name), rule))
        found.append((Scope.project(project, model=name), replace_rule(rule, Level.PROJECT, project)))
        found.append((Scope.key(project, key, model=name), replace_rule(rule, Level.KEY, project, key)))
        scope = nobody(project, key, name) if user is None else Scope.end_user(project, key, user, model=name)
        found.append((scope, replace_rule(rule, Level.END_USER, project)))
    return found


def replace_rule(rule: Rule, level: Level, project: str, key: str | None = None) -> Rule:
    return Rule(level, rule.measure, rule.per, rule.rolling, project, key, rule.model)


def limits(project: str, key: str, user: str | None, model: str) -> list[Limit]:
    return [
        Limit(scope, measure, HIGH, per, rolling)
        for scope, _ in scopes(project, key, user, model)
        for measure in MEASURES
        for per, rolling in WINDOWS
    ]


def rules() -> list[Rule]:
    found = {
        Rule(rule.level, measure, per, rolling, rule.project_id, rule.key_id, rule.model)
        for project in PROJECTS
        for key in KEYS
        for model in MODELS
        for _, rule in scopes(project, key, "anyone", model)
        for measure in MEASURES
        for per, rolling in WINDOWS
    }
    return sorted(found, key=repr)


class Life:
    """Calls that reserve, write, dispatch and end in the order of writes, under every limit there is."""

    def __init__(self, ledger: Ledger, seed: int, calendar: Calendar) -> None:
        self.clock, self.dice, self.ledger = Clock(), random.Random(seed), ledger
        self.store = LocalQuotaStore(calendar, clock=self.clock)
        self.record = LedgerRecord(ledger, rules, lambda: calendar, clock=self.clock)
        self.keeper = Keeper(GuardedStore(self.store, clock=self.clock), self.record, lambda kept: None)
        self.open: list[tuple[NewAttempt, Hold]] = []
        self.asked: dict[str, Limit] = {}

    async def call(self, number: int) -> None:
        dice = self.dice
        place = (dice.choice(PROJECTS), dice.choice(KEYS), dice.choice((None, *USERS)), dice.choice(MODELS))
        images, spend, tokens = dice.randrange(1, 4), dice.randrange(1000), dice.randrange(100)
        under = limits(*place)
        self.asked.update({limit.counter + limit.kind: limit for limit in under})
        received = datetime.fromtimestamp(self.clock.now // 1000, UTC)
        new = NewRequest(
            f"r{number}",
            received,
            *place[:2],
            "generations",
            place[3],
            images,
            None,
            None,
            None,
            place[2],
            None,
        )
        entries: list[NewRequest | NewAttempt] = [new]
        for ordinal in range(1, dice.choice((2, 2, 3))):
            amounts = {Measure.SPEND: spend, Measure.TOKENS: tokens}
            if ordinal == 1:
                amounts |= {Measure.REQUESTS: 1, Measure.IMAGES: images}
            outcome = await self.store.reserve([Reservation(f"r{number}/{ordinal}", amounts, under)])
            assert isinstance(outcome, Admitted)
            attempt = with_hold(
                NewAttempt(
                    f"r{number}/{ordinal}", f"r{number}", ordinal, "openai", "m", datetime.now(UTC), None
                ),
                outcome.holds[0],
                amount=NanoDollars(spend),
                tokens=tokens,
                expected=NanoDollars(spend // 2),
            )
            entries.append(attempt)
            self.open.append((attempt, outcome.holds[0]))
        await self.ledger.record(*entries)
        for attempt, hold in self.open[1 - len(entries) :]:
            if dice.random() < 0.1:
                end = AttemptEnd(attempt.attempt_id, AttemptState.RELEASED, datetime.now(UTC), sent=False)
                await self.ledger.record(end)
                await self.store.release(hold)
                self.open.remove((attempt, hold))
            else:
                await self.store.dispatch(hold)

    async def end(self) -> None:
        attempt, hold = self.open.pop(self.dice.randrange(len(self.open)))
        state = self.dice.choice([AttemptState.SETTLED, AttemptState.SETTLED, AttemptState.RELEASED])
        cost = self.dice.choice([None, NanoDollars(self.dice.randrange(1500))])
        usage = self.dice.choice(
            [None, Usage(total_tokens=9), Usage(3, output_tokens=4), Usage(input_tokens=3)]
        )
        charge = Charge(cost) if state is AttemptState.SETTLED else None
        end = AttemptEnd(attempt.attempt_id, state, datetime.now(UTC), usage=usage, charge=charge)
        await self.ledger.record(end)
        if self.dice.random() < 0.8:  # else the store is told by the drift check
            if state is AttemptState.SETTLED:
                await self.store.settle(hold, actual(end))
            else:
                await self.store.release(hold)

    async def standings(self, store: LocalQuotaStore) -> dict[str, tuple[int, int]]:
        found = await store.standing(list(self.asked.values()))
        return {f"{x.limit.counter}{x.limit.kind}": (x.settled, x.held + x.unknown) for x in found}


async def rolled_up(ledger: Ledger) -> None:
    later = to_micros(datetime(2027, 11, 20, tzinfo=UTC))

    def work(connection: Connection) -> None:
        for rollup in ROLLUPS:
            while roll_up(connection, rollup, later):
                pass

    await ledger._store.write(work)


@pytest.mark.parametrize("seed", range(3))
async def test_counters_built_from_the_ledger_equal_those_that_grew_with_it(
    ledger: Ledger, seed: int
) -> None:
    calendar = Calendar(("UTC", "Asia/Kolkata", "Europe/Vienna")[seed])
    life = Life(ledger, seed, calendar)
    await life.keeper.rebuild()
    life.clock.now += 3000
    for number in range(30):
        life.clock.now += life.dice.choice((1, 900, 61_000, 20 * 60_000, 5 * HOUR))
        await life.call(number)
        while len(life.open) > 6:
            await life.end()
    if seed:
        await rolled_up(ledger)
    life.clock.now += 5
    drifts, adopted = await life.keeper.drift()
    assert ([x for x in drifts if x.raised], list(adopted)) == ([], [])
    grown = await life.standings(life.store)
    built = LocalQuotaStore(calendar, clock=life.clock)
    await Keeper(GuardedStore(built, clock=life.clock), life.record, lambda kept: None).rebuild()
    assert await life.standings(built) == grown
    assert sum(settled for settled, _ in grown.values()) > 0
    assert sum(held for _, held in grown.values()) > 0


async def test_a_new_limit_counts_what_its_window_has_already_seen(ledger: Ledger) -> None:
    clock, calendar = Clock(), Calendar()
    record = LedgerRecord(ledger, rules, lambda: calendar, clock=clock)
    for name, state in (("done", AttemptState.SETTLED), ("lost", AttemptState.UNKNOWN), ("runs", None)):
        moment = datetime.fromtimestamp(clock.now // 1000, UTC)
        new = NewRequest(name, moment, "p2", "k1", "generations", "m2", 2, None, None, None, "anna", None)
        intent = NewAttempt(f"{name}/1", name, 1, "openai", "m2", moment, None)
        await ledger.record(new, with_hold(intent, None, amount=NanoDollars(50), expected=NanoDollars(40)))
        if state is not None:
            charge = Charge(NanoDollars(30)) if state is AttemptState.SETTLED else None
            await ledger.record(AttemptEnd(f"{name}/1", state, moment, charge=charge))
    store = LocalQuotaStore(calendar, clock=clock)
    keeper = Keeper(GuardedStore(store, clock=clock), record, lambda kept: None)
    await keeper.rebuild()
    under = [
        Limit(Scope.end_user("p2", "k1", "anna"), Measure.SPEND, HIGH, "day"),
        Limit(Scope.project("p2", model="m2"), Measure.IMAGES, HIGH, "month"),
    ]
    spend, images = await store.standing(under)
    assert (spend.settled, spend.held, spend.unknown) == (30, 50, 50)
    assert (images.settled, images.held, images.unknown) == (6, 0, 0)


async def test_a_window_that_begins_by_the_stores_clock_is_told_as_well(ledger: Ledger) -> None:
    """The store may be two seconds ahead, and then the next hour has begun there."""
    clock, calendar = Clock(), Calendar()
    turn = to_ms(datetime(2026, 11, 20, 13, tzinfo=UTC))
    record = LedgerRecord(ledger, rules, lambda: calendar, clock=clock)
    for name, at in (("before", turn - 1), ("after", turn)):
        moment = datetime.fromtimestamp(at / 1000, UTC)
        new = NewRequest(name, moment, "p2", "k1", "generations", "m2", 1, None, None, None, None, None)
        intent = NewAttempt(f"{name}/1", name, 1, "openai", "m2", moment, None)
        end = AttemptEnd(f"{name}/1", AttemptState.SETTLED, moment, charge=Charge(NanoDollars(7)))
        await ledger.record(new, intent, end)
    clock.now = turn - 1000
    account = await record.account([], None)
    counter = Limit(Scope.key("p2", "k1"), Measure.SPEND, HIGH, "hour").counter
    slots = {line.slot: line.amount for line in account.sums if line.counter == counter and not line.param}
    assert slots == {"hour:2026-11-20T12+0000@UTC": 7, "hour:2026-11-20T13+0000@UTC": 7}


async def test_what_the_reaper_makes_unknown_is_unknown_in_the_ledger_too(ledger: Ledger) -> None:
    life = Life(ledger, 5, Calendar())
    told: list[Kept] = []
    await life.keeper.rebuild()
    for number in range(4):
        await life.call(number)
    ran = {attempt.attempt_id for attempt, _ in life.open}
    life.clock.now += 46_000
    moved = await life.keeper.reap()
    assert {x.rid for x in moved} == ran
    verdicts = (await life.record.account(sorted(ran), None)).verdicts
    assert {rid: verdict.state for rid, verdict in verdicts.items()} == dict.fromkeys(ran, State.UNKNOWN)
    assert told == []
    while life.open:  # and their owner, which had only stalled, ends them all the same
        await life.end()
    await life.keeper.drift()
    assert {x.unknown + x.held for x in await life.store.standing(list(life.asked.values()))} == {0}


async def test_epochs_are_the_ledgers(ledger: Ledger) -> None:
    record = LedgerRecord(ledger, rules, Calendar)
    assert await record.epoch() is None
    assert await record.begin_epoch("run") == Epoch(1, "run", ledger.instance_id)
    assert await record.epoch() == Epoch(1, "run", ledger.instance_id)


async def test_the_hold_of_a_row_is_read_back_as_it_was(ledger: Ledger) -> None:
    life = Life(ledger, 1, Calendar())
    await life.keeper.rebuild()
    await life.call(1)
    (attempt, hold), *_ = life.open
    assert attempt.epoch == hold.epoch == 1
    assert attempt.admitted_at is not None
    assert to_ms(attempt.admitted_at) == hold.admitted
    account = await life.record.account([], None)
    found = {each.hold.rid: each for each in account.open_holds}[hold.rid]
    assert (found.hold, found.state) == (hold, State.DISPATCHED)
    before = await life.record.account([hold.rid, "nobody/1"], hold.admitted)
    assert list(before.verdicts) == [hold.rid]
    assert before.open_holds == []
    await asyncio.sleep(0)
    assert timedelta(0) <= datetime.now(UTC) - attempt.dispatched_at
