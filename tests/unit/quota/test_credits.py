"""Credits give room in every store: beside the sums, whole, and never out of order."""

from __future__ import annotations

import pytest

from gateway.quota.clock import wall_clock
from gateway.quota.holds import Line
from gateway.quota.outcomes import Admitted, Credits, Refused, Reservation
from gateway.quota.plan import line
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import from_ms
from tests.unit.quota.worlds import World

HOUR = 3_600_000
MONTH = Limit(Scope.project("p"), Measure.SPEND, 10, "month")
ROLLING = Limit(Scope.project("p"), Measure.SPEND, 10, "hour", rolling=True)
ORGANIZATION = Limit(Scope.organization(), Measure.SPEND, 20, "month")


def amount_of(at: World, limit: Limit, amount: int) -> Line:
    return line(limit, amount, at.store.calendar, from_ms(at.now))


async def take(at: World, rid: str, amount: int, *limits: Limit) -> Admitted | Refused:
    return await at.store.reserve([Reservation(rid, {Measure.SPEND: amount}, limits)])


async def give(at: World, version: int, amount: int, *limits: Limit) -> None:
    await at.store.credit(Credits(version, [amount_of(at, limit, amount) for limit in limits]))


@pytest.mark.parametrize("limit", [MONTH, ROLLING])
async def test_a_credit_gives_exactly_its_amount_in_its_counter_alone(at: World, limit: Limit) -> None:
    both = (limit, ORGANIZATION)
    await at.rebuild([amount_of(at, each, 10) for each in both])
    assert isinstance(await take(at, "r/1", 1, *both), Refused)
    await give(at, 1, 5, limit)
    assert [each.settled for each in await at.store.standing(both)] == [5, 10]
    assert isinstance(await take(at, "r/2", 6, *both), Refused)
    taken = await take(at, "r/3", 5, *both)
    assert isinstance(taken, Admitted)
    assert [(each.used, each.left) for each in taken.standings] == [(10, 0), (15, 5)]


@pytest.mark.parametrize("limit", [MONTH, ROLLING])
async def test_a_credit_beyond_what_was_spent_is_room_above_the_limit(at: World, limit: Limit) -> None:
    await give(at, 1, 5, limit)
    (stands,) = await at.store.standing([limit])
    assert (stands.charged, stands.used, stands.left) == (0, -5, 15)
    outcome = await take(at, "r/1", 15, limit)
    assert isinstance(outcome, Admitted)
    (hold,) = outcome.holds
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 12})
    (stands,) = await at.store.standing([limit])
    assert (stands.settled, stands.left) == (7, 3)


async def test_a_credit_told_again_counts_once_and_an_older_word_is_ignored(at: World) -> None:
    for version, amount, settled in ((2, 3, -3), (2, 3, -3), (3, 8, -8), (2, 3, -8), (4, 0, 0), (3, 8, 0)):
        await give(at, version, amount, MONTH)
        assert [each.settled for each in await at.store.standing([MONTH])] == [settled]


async def test_many_credits_are_told_at_once(at: World) -> None:
    limits = [Limit(Scope.key("p", f"k{n}"), Measure.SPEND, 10, "day") for n in range(450)]
    await give(at, 1, 4, *limits)
    assert {each.left for each in await at.store.standing(limits)} == {14}


async def test_raising_sums_to_the_ledgers_takes_no_credit_away(at: World) -> None:
    await at.rebuild([amount_of(at, MONTH, 10)])
    await give(at, 1, 7, MONTH)
    as_of = (await at.store.open_ids()).as_of
    assert await at.store.raise_to([amount_of(at, MONTH, 10)], as_of) == []
    (drift,) = await at.store.raise_to([amount_of(at, MONTH, 12)], as_of)
    assert (drift.counter, drift.raised) == (10, True)
    assert [each.settled for each in await at.store.standing([MONTH])] == [5]


async def test_a_new_building_has_no_credits_but_those_it_is_told(at: World) -> None:
    await give(at, 9, 7, MONTH)
    await at.rebuild([amount_of(at, MONTH, 10)])
    assert [each.settled for each in await at.store.standing([MONTH])] == [10]
    await give(at, 2, 1, MONTH)  # a ledger that was set back has fewer entries
    assert [each.settled for each in await at.store.standing([MONTH])] == [9]


async def test_a_credit_leaves_a_rolling_window_with_its_bucket(at: World) -> None:
    first = amount_of(at, ROLLING, 6)
    await at.advance(HOUR // 2)
    assert isinstance(await take(at, "r/1", 10, ROLLING), Admitted)
    await at.store.credit(Credits(1, [first]))  # told late: its bucket is older than the newest
    assert isinstance(await take(at, "r/2", 6, ROLLING), Admitted)
    if at.link is not None:
        (name,) = [key async for key in at.link.scan_iter(match="*:b:project:p|*")]
        assert await at.link.pttl(name) > first.expires + HOUR // 4 - wall_clock()
    await at.advance(HOUR // 2 + HOUR // 60 + 1000)
    (stands,) = await at.store.standing([ROLLING])
    assert (stands.used, stands.left) == (16, 0)
