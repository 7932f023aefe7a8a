"""What every store promises, run on each of them: in the process, fakeredis, and a real Redis."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.quota.errors import ClockSkew, HoldLost, Rebuilding, TooManyEndUsers
from gateway.quota.holds import Hold, State
from gateway.quota.outcomes import (
    LEASE_MS,
    Admitted,
    End,
    Epoch,
    OpenHold,
    Refused,
    Reservation,
    Standing,
    Verdict,
)
from gateway.quota.plan import line
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.store import END_USER_MS, KEEP_MS, SLACK_MS
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms, to_ms
from tests.unit.quota.worlds import World, patch_server_clock, world

DOLLAR = 1_000_000_000
ORG = Limit(Scope.organization(), Measure.SPEND, 10 * DOLLAR, "month")
PROJECT = Limit(Scope.project("p1"), Measure.SPEND, 5 * DOLLAR, "day")
KEY = Limit(Scope.key("p1", "k1"), Measure.SPEND, DOLLAR, "total")
SPEND = (ORG, PROJECT, KEY)
IMAGES = Limit(Scope.project("p1"), Measure.IMAGES, 10, "minute")
DAILY_IMAGES = Limit(Scope.project("p1"), Measure.IMAGES, 100, "day")
TOKENS = Limit(Scope.project("p1"), Measure.TOKENS, 600, "minute")
RUNNING = Limit(Scope.key("p1", "k1"), Measure.CONCURRENT, 2)


def wish(rid: str, *limits: Limit, lease_ms: int = LEASE_MS, **amounts: int) -> Reservation:
    return Reservation(rid, {Measure(name): n for name, n in amounts.items()}, limits, lease_ms)


async def take(at: World, rid: str, *limits: Limit, **amounts: Any) -> Hold:
    outcome = await at.store.reserve([wish(rid, *limits, **amounts)])
    assert isinstance(outcome, Admitted), outcome
    return outcome.holds[0]


async def refused(at: World, rid: str, *limits: Limit, **amounts: Any) -> Refused:
    outcome = await at.store.reserve([wish(rid, *limits, **amounts)])
    assert isinstance(outcome, Refused), outcome
    return outcome


async def sums(at: World, *limits: Limit) -> list[tuple[int, int, int]]:
    return [(x.settled, x.held, x.unknown) for x in await at.store.standing(limits)]


async def no_rows(_rids: Any) -> dict[str, Verdict]:
    return {}


async def test_a_hold_is_taken_from_every_limit_and_settles_at_what_was_used(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    assert await sums(at, *SPEND) == [(0, 300, 0)] * 3
    dispatched = await at.store.dispatch(hold)
    assert dispatched.hold.rid == "r/1"
    moved = await at.store.settle(hold, {Measure.SPEND: 120})
    assert (moved.before, moved.after, moved.applied) == (State.DISPATCHED, State.SETTLED, True)
    assert await sums(at, *SPEND) == [(120, 0, 0)] * 3


async def test_a_limit_takes_what_fits_exactly_and_not_one_nanodollar_more(at: World) -> None:
    await take(at, "a/1", KEY, spend=DOLLAR - 1)
    assert isinstance(await at.store.reserve([wish("b/1", KEY, spend=2)]), Refused)
    await take(at, "b/1", KEY, spend=1)
    assert isinstance(await at.store.reserve([wish("c/1", KEY, spend=1)]), Refused)


async def test_a_refusal_takes_nothing_anywhere_and_names_all_binding_limits(at: World) -> None:
    await take(at, "a/1", *SPEND, spend=900_000_000)
    first = await take(at, "b/1", PROJECT, spend=4 * DOLLAR)
    await at.store.dispatch(first)
    await at.store.unknown(first)
    before = await sums(at, *SPEND, IMAGES, RUNNING)
    outcome = await refused(at, "c/1", *SPEND, IMAGES, RUNNING, spend=200_000_000, images=11)
    assert [binding.limit for binding in outcome.bindings] == [PROJECT, KEY, IMAGES]
    project, key, images = outcome.bindings
    assert (project.standing.held, project.standing.unknown) == (900_000_000, 4 * DOLLAR)
    assert (project.needed, project.standing.left) == (200_000_000, 100_000_000)
    tomorrow = Calendar().window("day", from_ms(at.now)).end
    assert project.standing.resets_at == tomorrow
    assert project.retry_after_ms == to_ms(tomorrow) - at.now
    assert (key.standing.left, key.standing.resets_at, key.retry_after_ms) == (100_000_000, None, None)
    assert images.retry_after_ms is None
    assert await sums(at, *SPEND, IMAGES, RUNNING) == before
    assert await at.store.open_ids() is not None
    assert set((await at.store.open_ids()).rids) == {"a/1", "b/1"}


async def test_f20_a_repeated_reserve_holds_once(at: World) -> None:
    first = await at.store.reserve([wish("r/1", *SPEND, IMAGES, RUNNING, spend=300, images=2)])
    again = await at.store.reserve([wish("r/1", *SPEND, IMAGES, RUNNING, spend=300, images=2)])
    assert isinstance(first, Admitted)
    assert isinstance(again, Admitted)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.holds == again.holds
    assert await sums(at, *SPEND, IMAGES, RUNNING) == [(0, 300, 0)] * 3 + [(2, 0, 0), (0, 1, 0)]
    assert again.standings == first.standings


async def test_f21_a_repeated_settle_counts_once(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    await at.store.dispatch(hold)
    for actual in (120, 120, 250):
        await at.store.settle(hold, {Measure.SPEND: actual})
    for late in (at.store.release(hold), at.store.unknown(hold)):
        moved = await late
        assert (moved.after, moved.applied) == (State.SETTLED, False)
    assert await sums(at, *SPEND) == [(120, 0, 0)] * 3


async def test_dispatch_refuses_anything_but_held(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    await at.store.dispatch(hold)
    with pytest.raises(HoldLost) as twice:
        await at.store.dispatch(hold)
    assert twice.value.state is State.DISPATCHED
    await at.store.release(hold)
    with pytest.raises(HoldLost) as ended:
        await at.store.dispatch(hold)
    assert ended.value.state is State.RELEASED
    with pytest.raises(HoldLost) as unseen:
        await at.store.dispatch(Hold("x/1", at.now, LEASE_MS, hold.lines))
    assert unseen.value.state is None


async def test_settle_refuses_a_hold_that_was_never_dispatched(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    moved = await at.store.settle(hold, {Measure.SPEND: 5})
    assert (moved.after, moved.applied) == (State.HELD, False)
    assert await sums(at, *SPEND) == [(0, 300, 0)] * 3


async def test_the_ledgers_word_settles_a_hold_whose_dispatch_was_lost(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, DAILY_IMAGES, spend=300, images=2)
    [moved] = await at.store.end([End(hold, State.SETTLED, {Measure.SPEND: 5})])
    assert (moved.before, moved.after, moved.applied) == (State.HELD, State.SETTLED, True)
    assert await sums(at, *SPEND, DAILY_IMAGES) == [(5, 0, 0)] * 3 + [(2, 0, 0)]


async def test_release_gives_everything_back(at: World) -> None:
    for rid, dispatched in (("a/1", False), ("b/1", True)):
        hold = await take(at, rid, *SPEND, RUNNING, spend=300)
        if dispatched:
            await at.store.dispatch(hold)
        await at.store.release(hold)
        assert await sums(at, *SPEND, RUNNING) == [(0, 0, 0)] * 4


async def test_unknown_keeps_counting_until_it_is_settled_or_released(at: World) -> None:
    holds = [await take(at, rid, KEY, spend=DOLLAR // 2) for rid in ("a/1", "b/1")]
    for hold in holds:
        await at.store.dispatch(hold)
        await at.store.unknown(hold)
    assert await sums(at, KEY) == [(0, 0, DOLLAR)]
    await refused(at, "c/1", KEY, spend=1)
    await at.store.settle(holds[0], {Measure.SPEND: 7})
    await at.store.release(holds[1])
    assert await sums(at, KEY) == [(7, 0, 0)]


async def test_f43_a_bill_above_the_hold_is_counted_whole(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=DOLLAR)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: DOLLAR + 5})
    assert await sums(at, KEY) == [(DOLLAR + 5, 0, 0)]
    assert [x.left for x in await at.store.standing([KEY])] == [0]


async def test_images_and_requests_stay_counted_after_dispatch(at: World) -> None:
    requests = Limit(Scope.project("p1"), Measure.REQUESTS, 50, "hour")
    limits = (DAILY_IMAGES, requests)
    early = await take(at, "a/1", *limits, images=4, requests=1)
    await at.store.release(early)
    assert await sums(at, *limits) == [(0, 0, 0)] * 2
    late = await take(at, "b/1", *limits, images=4, requests=1)
    await at.store.dispatch(late)
    assert await sums(at, *limits) == [(4, 0, 0), (1, 0, 0)]
    await at.store.release(late)
    assert await sums(at, *limits) == [(4, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize("by", ["owner", "ledger"])
async def test_what_was_taken_for_lost_and_was_never_sent_counts_nothing(at: World, by: str) -> None:
    """Its owner stalled between the row and the dispatch, past its lease."""
    requests = Limit(Scope.project("p1"), Measure.REQUESTS, 50, "hour")
    limits = (KEY, DAILY_IMAGES, requests, IMAGES)
    hold = await take(at, "r/1", *limits, spend=300, images=4, requests=1)
    await at.advance(LEASE_MS)

    async def has_a_row(rids: Any) -> dict[str, Verdict]:
        return {rid: Verdict(State.UNKNOWN) for rid in rids}

    await at.store.reap(has_a_row)
    assert await sums(at, *limits[:3]) == [(0, 0, 300), (4, 0, 0), (1, 0, 0)]
    with pytest.raises(HoldLost):
        await at.store.dispatch(hold)
    unsent = End(hold, State.RELEASED, sent=False)
    for applied in (True, False):
        [moved] = await at.store.end([unsent], by_ledger=by == "ledger")
        assert moved.applied is applied
        assert await sums(at, *limits) == [(0, 0, 0)] * 4


async def test_parallel_attempts_are_taken_together_or_not_at_all(at: World) -> None:
    pair = [wish("r/1", KEY, RUNNING, spend=600_000_000), wish("r/2", KEY, RUNNING, spend=600_000_000)]
    assert isinstance(await at.store.reserve(pair), Refused)
    assert await sums(at, KEY, RUNNING) == [(0, 0, 0)] * 2
    pair = [wish("r/1", KEY, RUNNING, spend=500_000_000), wish("r/2", KEY, RUNNING, spend=500_000_000)]
    outcome = await at.store.reserve(pair)
    assert isinstance(outcome, Admitted)
    assert [hold.rid for hold in outcome.holds] == ["r/1", "r/2"]
    assert await sums(at, KEY, RUNNING) == [(0, DOLLAR, 0), (0, 2, 0)]


async def test_a_failover_gives_back_its_first_attempt_in_the_same_call(at: World) -> None:
    first = await take(at, "r/1", KEY, spend=DOLLAR)
    await at.store.dispatch(first)
    await refused(at, "r/2", KEY, spend=DOLLAR)
    outcome = await at.store.reserve([wish("r/2", KEY, spend=DOLLAR)], [End(first, State.RELEASED)])
    assert isinstance(outcome, Admitted)
    assert await sums(at, KEY) == [(0, DOLLAR, 0)]


async def test_f36_an_unclear_first_attempt_keeps_its_hold_and_the_second_is_refused(at: World) -> None:
    first = await take(at, "r/1", KEY, spend=DOLLAR)
    await at.store.dispatch(first)
    outcome = await at.store.reserve([wish("r/2", KEY, spend=1)], [End(first, State.UNKNOWN)])
    assert isinstance(outcome, Refused)
    assert await sums(at, KEY) == [(0, 0, DOLLAR)]


async def test_f09_a_rate_admits_its_burst_and_says_exactly_when_the_next_fits(at: World) -> None:
    await take(at, "a/1", IMAGES, images=10)
    [binding] = (await refused(at, "b/1", IMAGES, images=3)).bindings
    assert binding.retry_after_ms == 18_000
    await at.advance(17_999)
    await refused(at, "b/1", IMAGES, images=3)
    await at.advance(1)
    await take(at, "b/1", IMAGES, images=3)


async def test_a_rate_that_divides_badly_is_exact(at: World) -> None:
    limit = Limit(Scope.project("p1"), Measure.REQUESTS, 7, "minute")
    for n in range(7):
        await take(at, f"{n}/1", limit, requests=1)
    [binding] = (await refused(at, "x/1", limit, requests=1)).bindings
    assert binding.retry_after_ms == 8_572  # 60,000 / 7 = 8571.4
    await at.advance(8_571)
    await refused(at, "x/1", limit, requests=1)
    await at.advance(1)
    await take(at, "x/1", limit, requests=1)


async def test_a_rate_gives_back_what_was_never_sent_and_cannot_have_decayed(at: World) -> None:
    hold = await take(at, "a/1", IMAGES, images=10)
    await at.store.release(hold)
    assert await sums(at, IMAGES) == [(0, 0, 0)]
    hold = await take(at, "b/1", IMAGES, images=10)
    await at.advance(30_000)
    await take(at, "c/1", IMAGES, images=5)
    await at.store.release(hold)  # half of its ten have decayed: five come back
    assert await sums(at, IMAGES) == [(5, 0, 0)]


async def test_unused_tokens_return_to_a_rate_and_excess_comes_on_top(at: World) -> None:
    for rid, actual, stands in (("a/1", 100, 100), ("b/1", 350, 450)):
        hold = await take(at, rid, TOKENS, tokens=300)
        await at.store.dispatch(hold)
        await at.store.settle(hold, {Measure.TOKENS: actual})
        assert await sums(at, TOKENS) == [(stands, 0, 0)]


async def test_f10_concurrency_lasts_until_the_attempt_ends(at: World) -> None:
    first, second = [await take(at, rid, RUNNING) for rid in ("a/1", "b/1")]
    [binding] = (await refused(at, "c/1", RUNNING)).bindings
    assert (binding.limit, binding.standing.held) == (RUNNING, 2)
    await at.store.dispatch(first)
    await refused(at, "c/1", RUNNING)
    await at.store.settle(first, {})
    await take(at, "c/1", RUNNING)
    await at.store.dispatch(second)
    await at.store.unknown(second)
    await take(at, "d/1", RUNNING)


async def test_concurrency_heals_when_nobody_beats(at: World) -> None:
    beating, silent = [await take(at, rid, RUNNING) for rid in ("a/1", "b/1")]
    await at.advance(LEASE_MS - 1)
    assert await at.store.heartbeat([beating]) == []
    await at.advance(1)
    await refused(at, "c/1", RUNNING)  # its place is given away when the ledger knows of its end
    assert [x.rid for x in await at.store.reap(no_rows)] == [silent.rid]
    assert await sums(at, RUNNING) == [(0, 1, 0)]
    await take(at, "c/1", RUNNING)


async def test_concurrency_heals_even_where_nobody_reaps(at: World) -> None:
    for rid in ("a/1", "b/1"):
        await take(at, rid, RUNNING)
    await at.advance(LEASE_MS + SLACK_MS - 1)
    await refused(at, "c/1", RUNNING)
    await at.advance(1)
    assert await sums(at, RUNNING) == [(0, 0, 0)]
    await take(at, "c/1", RUNNING)


async def test_f25_a_lapsed_hold_is_released(at: World) -> None:
    await take(at, "r/1", *SPEND, spend=300)
    await at.advance(LEASE_MS)
    [moved] = await at.store.reap(no_rows)
    assert (moved.rid, moved.before, moved.after) == ("r/1", State.HELD, State.RELEASED)
    assert await sums(at, *SPEND) == [(0, 0, 0)] * 3


async def test_f26_a_lapsed_dispatch_becomes_unknown(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    await at.store.dispatch(hold)
    await at.advance(LEASE_MS - 1)
    assert await at.store.reap(no_rows) == []
    await at.advance(1)
    [moved] = await at.store.reap(no_rows)
    assert (moved.before, moved.after) == (State.DISPATCHED, State.UNKNOWN)
    assert await sums(at, *SPEND) == [(0, 0, 300)] * 3


async def test_f27_a_stalled_replica_settles_exactly_after_it_was_reaped(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    await at.store.dispatch(hold)
    await at.advance(LEASE_MS)
    await at.store.reap(no_rows)
    assert await at.store.heartbeat([hold]) == ["r/1"]
    moved = await at.store.settle(hold, {Measure.SPEND: 120})
    assert (moved.before, moved.applied) == (State.UNKNOWN, True)
    assert await sums(at, *SPEND) == [(120, 0, 0)] * 3


@pytest.mark.parametrize(
    ("verdict", "after", "standing"),
    [
        (Verdict(State.DISPATCHED), State.UNKNOWN, (0, 0, 300)),
        (Verdict(State.UNKNOWN), State.UNKNOWN, (0, 0, 300)),
        (Verdict(State.RELEASED), State.RELEASED, (0, 0, 0)),
        (Verdict(State.SETTLED, {Measure.SPEND: 120}), State.SETTLED, (120, 0, 0)),
    ],
)
@pytest.mark.parametrize("dispatched", [False, True])
async def test_f18_the_ledger_decides_over_a_lapsed_attempt(
    at: World, verdict: Verdict, after: State, standing: tuple[int, int, int], dispatched: bool
) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    if dispatched:
        await at.store.dispatch(hold)
    await at.advance(LEASE_MS)

    async def ledger(rids: Any) -> dict[str, Verdict]:
        assert list(rids) == ["r/1"]
        return {"r/1": verdict}

    [moved] = await at.store.reap(ledger)
    assert moved.after is after
    assert await sums(at, KEY) == [standing]


async def test_a_hold_that_was_dispatched_while_the_ledger_was_asked_is_left_alone(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    await at.advance(LEASE_MS)

    async def ledger(_rids: Any) -> dict[str, Verdict]:
        await at.store.dispatch(hold)
        return {}

    assert await at.store.reap(ledger) == []
    assert await sums(at, KEY) == [(0, 300, 0)]
    assert (await at.store.settle(hold, {Measure.SPEND: 1})).applied


async def test_f65_two_reapers_end_each_attempt_once(at: World) -> None:
    for n in range(30):
        hold = await take(at, f"{n}/1", KEY, spend=100)
        await at.store.dispatch(hold)
    await at.advance(LEASE_MS)
    reaped = await asyncio.gather(*(at.store.reap(no_rows, batch=20) for _ in range(4)))
    reaped.append(await at.store.reap(no_rows))
    rids = [moved.rid for batch in reaped for moved in batch]
    assert sorted(rids) == sorted(f"{n}/1" for n in range(30))
    assert await sums(at, KEY) == [(0, 0, 3000)]


async def test_reaping_takes_no_more_than_its_batch(at: World) -> None:
    for n in range(7):
        await take(at, f"{n}/1", KEY, spend=100)
    await at.advance(LEASE_MS)
    assert [len(await at.store.reap(no_rows, batch=3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_the_end_of_an_unseen_attempt_is_accepted(at: World) -> None:
    hold = await take(at, "seen/1", *SPEND, DAILY_IMAGES, RUNNING, spend=300, images=2)
    await at.store.release(hold)
    spent = Hold("a/1", at.now, LEASE_MS, hold.lines)
    unclear = Hold("b/1", at.now, LEASE_MS, hold.lines)
    unspent = Hold("c/1", at.now, LEASE_MS, hold.lines)
    for _ in range(2):
        await at.store.settle(spent, {Measure.SPEND: 7})
        await at.store.unknown(unclear)
        await at.store.release(unspent)
    assert await sums(at, *SPEND, DAILY_IMAGES, RUNNING) == [(7, 0, 300)] * 3 + [(4, 0, 0), (0, 0, 0)]
    assert (await at.store.settle(unclear, {Measure.SPEND: 9})).before is State.UNKNOWN
    assert await sums(at, *SPEND) == [(16, 0, 0)] * 3


async def test_an_unseen_end_that_the_ledgers_sums_hold_already_changes_nothing(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    await at.store.dispatch(hold)
    moment = from_ms(at.now)
    await at.lose_everything()
    await at.rebuild([line(KEY, 120, at.store.calendar, moment)])
    moved = await at.store.settle(hold, {Measure.SPEND: 120})
    assert not moved.applied
    assert await sums(at, KEY) == [(120, 0, 0)]


async def test_a_clock_set_back_before_a_rebuild_does_not_count_an_old_settle_again(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 120})
    await at.lose_everything()
    await at.advance(-60_000)
    await at.rebuild([line(KEY, 120, at.store.calendar, from_ms(at.now))])
    assert not (await at.store.settle(hold, {Measure.SPEND: 120})).applied
    assert await sums(at, KEY) == [(120, 0, 0)]


async def test_a_settle_repeated_after_the_store_has_forgotten_the_attempt_changes_nothing(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 120})
    await at.advance(KEEP_MS + 1)
    if at.link is not None:
        await at.link.delete(f"imagegate:{{default}}:{at.epoch.number}:r:r/1")
    await take(at, "other/1", KEY, spend=1)
    assert not (await at.store.settle(hold, {Measure.SPEND: 120})).applied
    assert await sums(at, KEY) == [(120, 1, 0)]


async def test_f19_a_store_that_lost_its_state_admits_nothing_until_it_is_rebuilt(at: World) -> None:
    holds = [await take(at, rid, KEY, RUNNING, spend=300_000_000) for rid in ("a/1", "b/1")]
    for hold in holds:
        await at.store.dispatch(hold)
    await at.store.unknown(holds[1])
    moment = from_ms(at.now)
    await at.lose_everything()
    for call in (
        at.store.reserve([wish("c/1", KEY, spend=1)]),
        at.store.dispatch(holds[0]),
        at.store.settle(holds[0], {}),
        at.store.standing([KEY]),
        at.store.reap(no_rows),
        at.store.heartbeat(holds),
    ):
        with pytest.raises(Rebuilding):
            await call
    known = [OpenHold(holds[0], State.DISPATCHED), OpenHold(holds[1], State.UNKNOWN)]
    await at.rebuild([line(KEY, 100_000_000, at.store.calendar, moment)], known)
    assert await sums(at, KEY, RUNNING) == [(100_000_000, 300_000_000, 300_000_000), (0, 1, 0)]
    await refused(at, "c/1", KEY, spend=300_000_001)
    await at.store.settle(holds[0], {Measure.SPEND: 1})
    await at.store.settle(holds[1], {Measure.SPEND: 1})
    assert await sums(at, KEY, RUNNING) == [(100_000_002, 0, 0), (0, 0, 0)]


async def test_what_a_rebuild_put_back_lapses_and_is_reaped_like_any_other(at: World) -> None:
    running, unclear = [await take(at, rid, KEY, spend=300) for rid in ("a/1", "b/1")]
    await at.lose_everything()
    await at.rebuild([], [OpenHold(running, State.DISPATCHED), OpenHold(unclear, State.UNKNOWN)])
    assert set((await at.store.open_ids()).rids) == {"a/1", "b/1"}
    await at.advance(LEASE_MS)
    assert [(x.rid, x.after) for x in await at.store.reap(no_rows)] == [("a/1", State.UNKNOWN)]
    assert await sums(at, KEY) == [(0, 0, 600)]


async def test_an_attempt_that_has_ended_is_no_longer_open(at: World) -> None:
    holds = [await take(at, f"{n}/1", KEY, spend=300) for n in range(4)]
    for hold in holds[1:]:
        await at.store.dispatch(hold)
    for hold in holds[2:]:
        await at.store.unknown(hold)
    await at.store.settle(holds[3], {})
    await at.store.settle(holds[1], {})
    assert set((await at.store.open_ids()).rids) == {"0/1", "2/1"}
    assert set(await at.store.find([f"{n}/1" for n in range(5)])) == {"0/1", "2/1"}
    await at.store.release(holds[0])
    await at.store.release(holds[2])
    assert (await at.store.open_ids()).rids == ()


async def test_nothing_is_admitted_between_freeze_and_rebuild(at: World) -> None:
    hold = await take(at, "r/1", KEY, spend=300)
    at.epoch = Epoch(at.epoch.number + 1)
    await at.store.freeze(at.epoch)
    with pytest.raises(Rebuilding):
        await at.store.reserve([wish("c/1", KEY, spend=1)])
    await at.store.rebuild(at.epoch, [], [OpenHold(hold, State.DISPATCHED)])
    assert await sums(at, KEY) == [(0, 300, 0)]


async def test_a_hold_is_of_the_epoch_that_it_was_taken_in_whatever_came_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its intent row is then refused: the counters that were built meanwhile do not have it."""
    patch_server_clock(monkeypatch)
    async with world("fakeredis") as at:
        assert isinstance(at.store, RedisQuotaStore)
        scripts = at.store._in
        at_once = scripts.at

        async def overtaken(*call: Any) -> Any:
            answer = await at_once(*call)
            scripts.epoch = Epoch(7)
            return answer

        monkeypatch.setattr(scripts, "at", overtaken)
        assert (await take(at, "r/1", KEY, spend=1)).epoch == 1


async def test_a_rolling_limit_that_was_lowered_says_when_it_has_room(at: World) -> None:
    hourly = Limit(KEY.scope, Measure.SPEND, 1000, "hour", rolling=True)
    await take(at, "r/1", hourly, spend=500)
    lowered = Limit(KEY.scope, Measure.SPEND, 400, "hour", rolling=True)
    assert (await at.store.standing([hourly]))[0].resets_at is None
    assert (await at.store.standing([lowered]))[0].resets_at == from_ms((at.now // 60_000 + 61) * 60_000)


async def test_drift_raises_a_counter_and_never_lowers_one(at: World) -> None:
    hold = await take(at, "r/1", *SPEND, spend=300)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 300})
    known = await at.store.open_ids()
    moment = from_ms(at.now)
    told = [line(x, n, at.store.calendar, moment) for x, n in zip(SPEND, (300, 250, 450), strict=True)]
    drifts = await at.store.raise_to(told, known.as_of)
    assert [(x.line.counter, x.counter, x.line.amount, x.raised) for x in drifts] == [
        (PROJECT.counter, 300, 250, False),
        (KEY.counter, 300, 450, True),
    ]
    assert await sums(at, *SPEND) == [(300, 0, 0), (300, 0, 0), (450, 0, 0)]


async def test_a_shadow_limit_is_counted_and_reported_and_refuses_nothing(at: World) -> None:
    trial = Limit(KEY.scope, Measure.SPEND, 100, "total", shadow=True)
    rate = Limit(IMAGES.scope, Measure.IMAGES, 2, "minute", shadow=True)
    outcome = await at.store.reserve([wish("r/1", KEY, trial, IMAGES, rate, spend=300, images=5)])
    assert isinstance(outcome, Admitted)
    assert [binding.limit for binding in outcome.shadowed] == [trial, rate]
    assert await sums(at, KEY, IMAGES) == [(0, 300, 0), (5, 0, 0)]
    assert trial.counter == KEY.counter


async def test_a_limit_that_is_lowered_or_raised_keeps_its_counter(at: World) -> None:
    await take(at, "a/1", KEY, spend=500)
    lower = Limit(KEY.scope, Measure.SPEND, 400, "total")
    outcome = await refused(at, "b/1", lower, spend=1)
    assert outcome.bindings[0].standing.left == 0
    higher = Limit(KEY.scope, Measure.SPEND, 501, "total")
    await take(at, "b/1", higher, spend=1)


async def test_two_thresholds_over_one_counter_take_once_and_the_lower_binds(at: World) -> None:
    lower = Limit(KEY.scope, Measure.SPEND, 400, "total")
    await take(at, "a/1", KEY, lower, spend=300)
    assert await sums(at, KEY, lower) == [(0, 300, 0)] * 2
    assert [x.limit for x in (await refused(at, "b/1", KEY, lower, spend=200)).bindings] == [lower]


async def test_of_two_rates_over_one_counter_the_lower_binds(at: World) -> None:
    lower = Limit(IMAGES.scope, Measure.IMAGES, 4, "minute")
    for n, both in enumerate(((IMAGES, lower), (lower, IMAGES))):
        scope = Scope.project(f"other{n}")
        pair = [Limit(scope, Measure.IMAGES, x.amount, "minute") for x in both]
        await take(at, f"{n}/1", *pair, images=4)
        await at.advance(15_000)
        await take(at, f"{n}/2", *pair, images=1)
        assert isinstance(await at.store.reserve([wish(f"{n}/3", *pair, images=1)]), Refused)


async def test_a_free_call_passes_a_spent_limit(at: World) -> None:
    nothing = Limit(KEY.scope, Measure.SPEND, 0, "total")
    hold = await take(at, "a/1", nothing, spend=0)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 3})
    assert await sums(at, nothing) == [(3, 0, 0)]
    await take(at, "b/1", nothing, spend=0)
    await refused(at, "c/1", nothing, spend=1)


async def test_f56_a_cost_lands_in_the_month_of_admission(at: World) -> None:
    await at.set_clock(to_ms(datetime(2100, 11, 30, 23, 59, 59, 900_000, tzinfo=UTC)))
    await at.rebuild()
    await at.set_clock(to_ms(datetime(2100, 11, 30, 23, 59, 59, 900_000, tzinfo=UTC)))
    hold = await take(at, "r/1", ORG, spend=300)
    await at.store.dispatch(hold)
    await at.advance(60_000)
    assert await sums(at, ORG) == [(0, 0, 0)]
    await at.store.settle(hold, {Measure.SPEND: 120})
    assert await sums(at, ORG) == [(0, 0, 0)]
    await at.advance(-60_000)
    assert await sums(at, ORG) == [(120, 0, 0)]


async def test_a_zone_change_in_a_month_hands_out_no_fresh_budget(at: World) -> None:
    await at.set_clock(to_ms(datetime(2100, 11, 20, 12, tzinfo=UTC)))
    await at.rebuild()
    await take(at, "a/1", ORG, spend=10 * DOLLAR)
    at.store.calendar = at.store.calendar.changed("America/New_York", from_ms(at.now))
    await refused(at, "b/1", ORG, spend=1)
    await at.set_clock(to_ms(datetime(2100, 12, 1, 4, 59, 59, tzinfo=UTC)))
    await refused(at, "b/1", ORG, spend=1)
    await at.advance(1000)
    await take(at, "b/1", ORG, spend=1)


async def test_a_rolling_window_counts_its_whole_oldest_bucket(at: World) -> None:
    hourly = Limit(KEY.scope, Measure.SPEND, 1000, "hour", rolling=True)
    start = (at.now // 60_000 + 5) * 60_000
    await at.set_clock(start + 59_999)
    hold = await take(at, "a/1", hourly, spend=700)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 600})
    await at.set_clock(start + 60_000)
    await take(at, "b/1", hourly, spend=300)
    [binding] = (await refused(at, "c/1", hourly, spend=200)).bindings
    assert binding.standing.used == 900
    assert binding.standing.resets_at == from_ms(start + 61 * 60_000)
    assert binding.retry_after_ms == 60 * 60_000
    await at.set_clock(start + 61 * 60_000 - 1)
    await refused(at, "c/1", hourly, spend=200)
    await at.advance(1)
    await take(at, "c/1", hourly, spend=200)
    assert await sums(at, hourly) == [(0, 500, 0)]


async def test_a_rolling_window_says_when_enough_of_it_has_left(at: World) -> None:
    hourly = Limit(KEY.scope, Measure.SPEND, 1000, "hour", rolling=True)
    start = (at.now // 60_000 + 5) * 60_000
    for n in range(3):
        await at.set_clock(start + n * 60_000)
        await take(at, f"{n}/1", hourly, spend=300)
    for need, buckets in ((100, None), (101, 61), (400, 61), (401, 62), (700, 62), (1000, 63), (1001, None)):
        outcome = await at.store.reserve([wish(f"x{need}/1", hourly, spend=need)])
        if need == 100:
            assert isinstance(outcome, Admitted)
            await at.store.release(outcome.holds[0])
            continue
        assert isinstance(outcome, Refused)
        left = None if buckets is None else buckets * 60_000 - (at.now - start)
        assert outcome.bindings[0].retry_after_ms == left


async def test_f57_the_servers_time_decides_when_our_clock_is_wrong(at: World) -> None:
    right = at.now
    at.now = wrong = right + 3 * 86_400_000  # ours alone; without a server there is no other
    decides = wrong if at.link is None else right
    hold = await take(at, "r/1", PROJECT, spend=300)
    assert hold.admitted == decides
    assert hold.lines[0].slot == Calendar().window("day", from_ms(decides)).id
    assert await sums(at, PROJECT) == [(0, 300, 0)]


async def test_f57_clocks_that_go_on_disagreeing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_server_clock(monkeypatch)
    async with world("fakeredis") as at:
        days = itertools.count(1)
        monkeypatch.setattr(at.store, "_clock", lambda: at.now + next(days) * 86_400_000)
        with pytest.raises(ClockSkew) as skewed:
            await at.store.reserve([wish("r/1", PROJECT, spend=1)])
        assert (skewed.value.status, skewed.value.code) == (503, "clock_skew")
        monkeypatch.undo()


async def test_a_standing_says_what_is_left_and_when_it_ends(at: World) -> None:
    outcome = await at.store.reserve([wish("r/1", *SPEND, IMAGES, RUNNING, spend=300, images=4)])
    assert isinstance(outcome, Admitted)
    assert list(outcome.standings) == list(await at.store.standing([*SPEND, IMAGES, RUNNING]))
    month, _, total, rate, running = outcome.standings
    assert isinstance(month, Standing)
    assert (month.left, month.resets_at) == (
        10 * DOLLAR - 300,
        Calendar().window("month", from_ms(at.now)).end,
    )
    assert (total.left, total.resets_at) == (DOLLAR - 300, None)
    assert (rate.left, rate.resets_at) == (6, from_ms(at.now + 24_000))
    assert (running.left, running.held) == (1, 1)


async def test_large_amounts_are_exact(at: World) -> None:
    large = 2**53 - 1
    limit = Limit(KEY.scope, Measure.SPEND, large, "total")
    hold = await take(at, "a/1", limit, spend=large - 1)
    await take(at, "b/1", limit, spend=1)
    await refused(at, "c/1", limit, spend=1)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: large - 2})
    assert await sums(at, limit) == [(large - 2, 1, 0)]
    await take(at, "c/1", limit, spend=1)


async def test_end_users_that_clients_make_up_find_an_end(at: World) -> None:
    def user(n: int) -> list[Limit]:
        return [
            Limit(Scope.end_user("p1", "k1", str(n)), Measure.SPEND, 9, "month"),
            Limit(Scope.end_user("p1", "k1", str(n), model="m"), Measure.SPEND, 9, "month"),
        ]

    for n in range(20):
        await take(at, f"{n}/1", *user(n), spend=1)
    with pytest.raises(TooManyEndUsers) as crowded:
        await at.store.reserve([wish("x/1", *user(20), spend=1)])
    assert (crowded.value.code, crowded.value.retryable) == ("too_many_end_users", False)
    await take(at, "again/1", *user(3), spend=1)
    await take(at, "nobody/1", KEY, spend=1)
    await at.advance(END_USER_MS)
    await take(at, "x/1", *user(20), spend=1)
