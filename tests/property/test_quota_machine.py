"""Random histories of holds, on every kind of store, against an oracle that only sums attempts.

After each step every limit stands where the oracle says (so I1 and I5 hold at every step, not just at the
end), each attempt has ended at most once (I3), and at the end of each history all holds are gone (I4) and the
settled sums are those of the ledger (I5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.ledger.lapsed import MARGIN
from gateway.quota.away import GuardedStore
from gateway.quota.errors import HoldLost, Rebuilding
from gateway.quota.holds import Hold, Line, State
from gateway.quota.keeper import Account, Keeper
from gateway.quota.outcomes import LEASE_MS, Admitted, End, Epoch, OpenHold, Refused, Reservation, Verdict
from gateway.quota.store import SKEW_MS
from gateway.quota.terms import Kind, Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms, to_ms
from tests.property.quota_oracle import Oracle
from tests.unit.quota.worlds import KINDS, World, patch_server_clock, world

MOST_SET_BACK = 8_000
"""Milliseconds in all: less than the ledger's margin."""

P, K, U = Scope.project("p1"), Scope.key("p1", "k1"), Scope.end_user("p1", "k1", "someone@example.com")
DAY = 86_400_000
ZONES = (
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
)


def limits() -> list[Limit]:
    return [
        Limit(Scope.organization(), Measure.SPEND, 1000, "month"),
        Limit(P, Measure.SPEND, 700, "day"),
        Limit(K, Measure.SPEND, 1500, "total"),
        Limit(U, Measure.SPEND, 400, "week"),
        Limit(Scope.organization(model="gpt-image-2"), Measure.SPEND, 600, "hour"),
        Limit(P, Measure.SPEND, 800, "hour", rolling=True),
        Limit(P, Measure.IMAGES, 7, "minute"),
        Limit(P, Measure.IMAGES, 40, "day"),
        Limit(K, Measure.REQUESTS, 13, "minute", rolling=True),
        Limit(K, Measure.TOKENS, 90, "minute"),
        Limit(K, Measure.TOKENS, 400, "quarter"),
        Limit(K, Measure.CONCURRENT, 3),
        Limit(P, Measure.SPEND, 250, "day", shadow=True),
        Limit(P, Measure.IMAGES, 3, "minute", shadow=True),
    ]


@dataclass
class Row:
    """An attempt in the ledger."""

    hold: Hold
    state: State = State.DISPATCHED
    actual: dict[Measure, int] = field(default_factory=dict)
    sent: bool = False


@dataclass
class Ledger:
    """The record, as the keeper asks it."""

    rows: dict[str, Row] = field(default_factory=dict)
    epoch: Epoch | None = None
    now: Callable[[], int] = lambda: 0

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
        self.epoch = Epoch(self.epoch.number + 1 if self.epoch else 1, run_id)
        return self.epoch

    async def lapse(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        for row in (self.rows[rid] for rid in rids if rid in self.rows):
            if row.state is State.DISPATCHED:
                row.state = State.UNKNOWN
        return self.verdicts(rids)

    def verdicts(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        return {rid: Verdict(self.rows[rid].state, self.rows[rid].actual) for rid in rids if rid in self.rows}

    async def account(self, rids: Sequence[str], before: int | None) -> Account:
        rows = [row for row in self.rows.values() if before is None or row.hold.admitted < before]
        open_holds = [OpenHold(row.hold, row.state) for row in rows if not row.state.terminal]
        return Account(self.verdicts(rids), self.sums(rows), open_holds)

    def sums(self, rows: Sequence[Row]) -> list[Line]:
        return [
            Line(x.counter, x.kind, x.measure, amount, x.slot, x.param, x.expires)
            for row in rows
            if row.state.terminal
            for x in row.hold.lines
            if self.is_open(x) and (amount := ended(row, x))
        ]

    def is_open(self, x: Line) -> bool:
        """Whether a limit may still count in this window."""
        if x.kind is Kind.ROLLING:
            return int(x.slot) >= self.now() // x.param - 60
        return x.kind is Kind.WINDOW and (x.expires < 0 or x.expires > self.now())


def ended(row: Row, x: Line) -> int:
    """What a line of an ended attempt counts for good."""
    if not x.measure.settles:
        return x.amount if row.sent else 0
    return row.actual.get(x.measure, x.amount) if row.state is State.SETTLED else 0


class Histories(RuleBasedStateMachine):
    kind = "local"
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.ledger = Ledger()
        self.oracle = Oracle()
        self.limits = limits()
        self.requests = 0
        self.owned: dict[str, Hold] = {}
        self.set_back = 0
        self.messages: list[tuple[str, Hold, dict[Measure, int]]] = []
        self.backup: dict[bytes, bytes] = {}
        self.at: World = self.run(self.stack.enter_async_context(world(self.kind, self.url, warm=False)))
        self.ledger.now = lambda: self.at.now
        self.at.epoch_of = lambda: self.ledger.epoch
        self.keeper = Keeper(GuardedStore(self.at.store), self.ledger, lambda kept: None)
        self.rebuild()

    def run(self, step: Any) -> Any:
        return self.runner.run(step)

    def rebuild(self) -> None:
        """From the ledger, as the keeper does it; what has no row is gone."""
        if self.at.link is not None:
            self.run(self.at.link.delete("imagegate:{default}:building"))
        self.run(self.keeper.rebuild())
        known = {}
        for rid, row in self.ledger.rows.items():
            attempt = self.oracle.attempts[rid]
            attempt.state, attempt.actual = row.state, row.actual
            attempt.counted = row.sent if row.state.terminal else True
            attempt.beat(self.at.now)
            known[rid] = attempt
        self.oracle.attempts = known
        self.oracle.debts = {}
        self.run(self.at.advance(SKEW_MS))

    @initialize(zone=st.sampled_from(ZONES), month_end=st.booleans())
    def begin(self, zone: str, month_end: bool) -> None:
        self.at.store.calendar = self.oracle.calendar = Calendar(zone)
        if month_end:
            end = self.oracle.calendar.window("month", from_ms(self.at.now)).end
            self.run(self.at.set_clock(to_ms(end) - 1500))
            self.rebuild()

    @rule(
        number=st.integers(1, 3),
        spend=st.integers(0, 300),
        images=st.integers(0, 5),
        tokens=st.integers(0, 60),
        chosen=st.sets(st.integers(0, 13), min_size=1),
        moved=st.sampled_from([None, State.RELEASED, State.UNKNOWN]),
        again=st.booleans(),
    )
    def reserve(
        self,
        number: int,
        spend: int,
        images: int,
        tokens: int,
        chosen: set[int],
        moved: State | None,
        again: bool,
    ) -> None:
        now, under = self.at.now, [self.limits[i] for i in sorted(chosen)]
        self.requests += 1
        first = {Measure.SPEND: spend, Measure.IMAGES: images, Measure.TOKENS: tokens, Measure.REQUESTS: 1}
        later = {Measure.SPEND: spend, Measure.TOKENS: tokens}
        wishes = [
            Reservation(f"r{self.requests}/{n}", first if n == 1 else later, under)
            for n in range(1, number + 1)
        ]
        ends = []
        running = [rid for rid, row in self.ledger.rows.items() if row.sent and row.state is State.DISPATCHED]
        if moved is not None and running and running[0] in self.owned:
            hold = self.owned.pop(running[0])
            self.ledger.rows[hold.rid].state = moved
            ends = [End(hold, moved)]
            self.oracle.end(hold.rid, moved, now)
        outcome = self.run(self.at.store.reserve(wishes, ends))
        self.judge(wishes, under, outcome, now)
        if again and isinstance(outcome, Admitted):
            repeated = self.run(self.at.store.reserve(wishes, ends))
            assert isinstance(repeated, Admitted)
            assert (repeated.duplicate, repeated.holds) == (True, outcome.holds)

    def judge(
        self, wishes: Sequence[Reservation], under: Sequence[Limit], outcome: Admitted | Refused, now: int
    ) -> None:
        needs = [(limit, sum(_wanted(each, limit) for each in wishes)) for limit in under]
        binding = self.oracle.binding(needs, now, shadow=False)
        on_trial = self.oracle.binding(needs, now, shadow=True)
        assert {x.limit for x in outcome.shadowed} == set(on_trial)
        if isinstance(outcome, Refused):
            assert {x.limit for x in outcome.bindings} == set(binding)
            assert binding
            return
        assert binding == []
        for each, hold in zip(wishes, outcome.holds, strict=True):
            taken = [(limit, _wanted(each, limit)) for limit in under if _wants(each, limit)]
            self.oracle.admit(each.rid, taken, now, each.lease_ms)
            self.owned[each.rid] = hold
        self.oracle.pay_rates(needs, now, on_trial)
        for limit, need in needs:  # I1
            if need and not limit.shadow:
                assert sum(self.oracle.used(limit, now)) <= limit.amount

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), until=st.sampled_from(["intent", "dispatch", "sent"]))
    def go_on(self, data: st.DataObject, until: str) -> None:
        """An owner takes its attempt further: intent row, dispatch."""
        rid = data.draw(st.sampled_from(sorted(self.owned)))
        hold = self.owned[rid]
        if rid not in self.ledger.rows:
            # The ledger refuses the row: it knows another epoch, or the lease is about to end, and whoever
            # reaps the hold may have looked for the row already.
            late = self.at.now >= hold.admitted + hold.lease_ms - MARGIN // timedelta(milliseconds=1)
            if hold.epoch < self.ledger.epoch.number or late:
                del self.owned[rid]
                self.messages.append(("release", hold, {}))
                return
            self.ledger.rows[rid] = Row(hold)
        if until == "intent" or self.ledger.rows[rid].sent:
            return
        try:
            self.run(self.at.store.dispatch(hold))
        except HoldLost:
            assert not self.oracle.dispatch(rid, self.at.now)
            del self.owned[rid]
            self.ledger.rows[rid].state = State.RELEASED
            self.messages.append(("release", hold, {}))
        else:
            assert self.oracle.dispatch(rid, self.at.now)
            self.ledger.rows[rid].sent = True

    @precondition(lambda self: self.owned)
    @rule(
        data=st.data(),
        how=st.sampled_from(["settle", "settle", "release", "unknown"]),
        spend=st.integers(0, 350),
        tokens=st.integers(0, 80),
    )
    def finish(self, data: st.DataObject, how: str, spend: int, tokens: int) -> None:
        """An owner writes the end to the ledger; the store will hear of it, sooner or later."""
        rid = data.draw(st.sampled_from(sorted(self.owned)))
        row = self.ledger.rows.get(rid)
        if row is None or not row.sent:
            if how == "release":
                hold = self.owned.pop(rid)
                if row is not None:
                    row.state = State.RELEASED
                self.messages.append(("release", hold, {}))
            return
        hold = self.owned.pop(rid)
        actual = {Measure.SPEND: min(spend, hold.amount(Measure.SPEND)), Measure.TOKENS: tokens}
        row.state = {"settle": State.SETTLED, "release": State.RELEASED, "unknown": State.UNKNOWN}[how]
        row.actual = actual if how == "settle" else {}
        self.messages.append((how, hold, row.actual))

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        """Messages arrive in any order, and some of them again."""
        index = data.draw(st.integers(0, len(self.messages) - 1))
        how, hold, actual = self.messages[index]
        if not keep:
            del self.messages[index]
        self.tell(how, hold, actual)

    def tell(self, how: str, hold: Hold, actual: dict[Measure, int]) -> None:
        store = self.at.store
        state = {"settle": State.SETTLED, "release": State.RELEASED, "unknown": State.UNKNOWN}[how]
        if how == "settle":
            moved = self.run(store.settle(hold, actual))
        else:
            moved = self.run(store.release(hold) if how == "release" else store.unknown(hold))
        seen = hold.rid in self.oracle.attempts
        changed = self.oracle.end(hold.rid, state, self.at.now, actual)
        if seen:
            assert moved.applied == changed
        else:
            assert state is State.RELEASED or not moved.applied

    @rule()
    def crash(self) -> None:
        """A replica dies: nobody beats for its attempts, and what it had to say is lost."""
        self.owned.clear()
        self.messages.clear()

    @rule()
    def beat(self) -> None:
        now = self.at.now
        lost = set(self.run(self.at.store.heartbeat(list(self.owned.values()))))
        for rid in self.owned:
            attempt = self.oracle.attempts.get(rid)
            if attempt is not None and attempt.state in (State.HELD, State.DISPATCHED):
                assert rid not in lost
                attempt.beat(now)
            else:
                assert rid in lost

    @rule(ms=st.sampled_from([1, 999, 10_000, 30_000, LEASE_MS, 61_000, 3_600_000, DAY]))
    def advance(self, ms: int) -> None:
        self.run(self.at.advance(ms))

    @precondition(lambda self: self.set_back < MOST_SET_BACK)
    @rule(ms=st.sampled_from([1, 1500]))
    def clock_set_back(self, ms: int) -> None:
        self.set_back += ms
        self.run(self.at.advance(-ms))

    @rule()
    def reap(self) -> None:
        moved = {x.rid: x for x in self.run(self.keeper.reap())}
        now = self.at.now
        for rid, attempt in self.oracle.attempts.items():
            if attempt.state not in (State.HELD, State.DISPATCHED) or attempt.lease > now:
                assert rid not in moved
                continue
            row = self.ledger.rows.get(rid)
            if row is not None and row.state.terminal:
                after = row.state
            elif row is None and attempt.state is State.HELD:
                after = State.RELEASED
            else:
                after = State.UNKNOWN
            assert moved[rid].after is after
            self.oracle.end(rid, after, now, row.actual if row else None, ledger=True)

    @rule()
    def drift(self) -> None:
        drifts, adopted = self.run(self.keeper.drift())
        assert list(adopted) == []
        assert [x for x in drifts if x.raised] == []
        for rid, row in self.ledger.rows.items():
            if row.state.terminal:
                self.oracle.end(rid, row.state, self.at.now, row.actual, ledger=True)

    @rule(index=st.integers(0, 13), percent=st.sampled_from([50, 90, 110, 300]))
    def change_limit(self, index: int, percent: int) -> None:
        old = self.limits[index]
        amount = max(old.amount * percent // 100, 1)
        self.limits[index] = Limit(old.scope, old.measure, amount, old.per, old.rolling, old.shadow)

    @rule(zone=st.sampled_from(ZONES))
    def change_zone(self, zone: str) -> None:
        self.oracle.calendar = self.oracle.calendar.changed(zone, from_ms(self.at.now))
        self.at.store.calendar = self.oracle.calendar

    @rule()
    def flush(self) -> None:
        """The server is emptied, or the process starts anew."""
        self.run(self.at.lose_everything())
        with pytest.raises(Rebuilding):
            self.run(self.at.store.reserve([Reservation("x/1", {Measure.SPEND: 1}, self.limits[:1])]))
        self.rebuild()

    @rule()
    def back_up(self) -> None:
        """What a replica of the server has received so far."""
        if self.at.link is not None:
            self.backup = self.run(_dump(self.at.link))

    @rule()
    def fail_over(self) -> None:
        """An older state of the server is promoted: the writes since are lost. Its run_id gives it away."""
        if self.at.link is not None and self.backup:
            self.run(_load(self.at.link, self.backup))
            self.run(self.at.set_clock(self.at.now))
        self.rebuild()

    @invariant()
    def every_limit_stands_where_the_attempts_say(self) -> None:
        standings = self.run(self.at.store.standing(self.limits))
        for limit, found in zip(self.limits, standings, strict=True):
            assert (found.settled, found.held, found.unknown) == self.oracle.used(limit, self.at.now), limit

    @invariant()
    def each_attempt_ends_once(self) -> None:
        assert all(attempt.ends <= 1 for attempt in self.oracle.attempts.values())

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.run(self.stack.aclose())
            self.runner.close()

    def drain(self) -> None:
        """Everything is delivered, leases run out: holds are gone, and what is settled is the ledger's."""
        for how, hold, actual in self.messages:
            self.tell(how, hold, actual)
        self.owned.clear()
        self.run(self.at.advance(3 * LEASE_MS))  # the clock may have been set back since
        self.reap()
        self.drift()
        total = Limit(K, Measure.SPEND, 1, "total")
        rows = [
            row
            for row in self.ledger.rows.values()
            if any(x.counter == total.counter for x in row.hold.lines)
        ]
        settled = sum(ended(row, x) for row in rows for x in row.hold.lines if x.counter == total.counter)
        unclear = sum(row.hold.amount(Measure.SPEND) for row in rows if not row.state.terminal)
        (found,) = self.run(self.at.store.standing([total]))
        assert (found.settled, found.held, found.unknown) == (settled, 0, unclear)
        assert [x.held for x in self.run(self.at.store.standing(self.limits))] == [0] * len(self.limits)


def _wants(each: Reservation, limit: Limit) -> bool:
    return limit.measure in each.amounts or limit.measure is Measure.CONCURRENT


def _wanted(each: Reservation, limit: Limit) -> int:
    return each.amounts.get(limit.measure, int(limit.measure is Measure.CONCURRENT))


async def _dump(link: Any) -> dict[bytes, bytes]:
    return {key: await link.dump(key) for key in await link.keys("imagegate:*")}


async def _load(link: Any, backup: Mapping[bytes, bytes]) -> None:
    await link.flushall()
    for key, value in backup.items():
        if value is not None:
            await link.restore(key, 0, value)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_histories_of_holds(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_server_clock(monkeypatch)
    url = request.getfixturevalue("redis_server") if kind == "redis" else ""
    machine = type("Histories", (Histories,), {"kind": kind, "url": url})
    examples = {"local": 150, "fakeredis": 25, "redis": 60}[kind]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
