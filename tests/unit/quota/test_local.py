"""The memory of the store in the process: it forgets what nobody can ask for any more, and nothing sooner."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.quota.clock import wall_clock
from gateway.quota.holds import Hold, State
from gateway.quota.local import PRUNE_MS, LocalQuotaStore
from gateway.quota.outcomes import LEASE_MS, Admitted, End, Reservation
from gateway.quota.plan import line
from gateway.quota.store import KEEP_MS, SLACK_MS
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms
from tests.unit.quota.worlds import World, world

ORG = Scope.organization()
DAILY = Limit(ORG, Measure.SPEND, 1000, "day")
ROLLING = Limit(ORG, Measure.SPEND, 1000, "hour", rolling=True)
RUNNING = Limit(ORG, Measure.CONCURRENT, 5)
DAY = 86_400_000
MIDNIGHT = 20_000 * DAY


@pytest.fixture
async def at() -> AsyncIterator[World]:
    async with world("local", warm=False) as made:
        await made.set_clock(MIDNIGHT)
        await made.rebuild()
        yield made


def store_of(at: World) -> LocalQuotaStore:
    assert isinstance(at.store, LocalQuotaStore)
    return at.store


async def take(at: World, rid: str, *limits: Limit) -> Hold:
    outcome = await at.store.reserve([Reservation(rid, {Measure.SPEND: 5}, limits)])
    assert isinstance(outcome, Admitted)
    return outcome.holds[0]


async def test_ended_attempts_are_forgotten_after_their_time_seen_or_not(at: World) -> None:
    store = store_of(at)
    seen = await take(at, "seen/1", DAILY)
    await at.store.release(seen)
    lines = (line(DAILY, 7, Calendar(), from_ms(at.now)),)
    unseen = Hold("unseen/1", at.now, LEASE_MS, lines, 1)
    open_one = Hold("open/1", at.now, LEASE_MS, lines, 1)
    first, second = await at.store.end([End(unseen, State.SETTLED, {}), End(open_one, State.UNKNOWN)])
    assert (first.applied, second.applied) == (True, True)
    await at.advance(KEEP_MS - 1)
    await take(at, "before/1", DAILY)
    assert {"seen/1", "unseen/1", "open/1"} <= set(store._records)
    await at.advance(1)
    await take(at, "after/1", DAILY)
    assert set(store._records) == {"open/1", "before/1", "after/1"}
    await at.advance(1)
    (again,) = await at.store.end([End(unseen, State.SETTLED, {})])
    assert again.applied is False


async def test_a_repetition_stays_known_though_the_clock_goes_back(at: World) -> None:
    hold = await take(at, "r/1", DAILY)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 5})
    start = at.now
    await at.advance(KEEP_MS + 1)
    await take(at, "other/1", RUNNING)
    await at.set_clock(start)
    assert (await at.store.settle(hold, {Measure.SPEND: 5})).applied is False
    assert (await at.store.standing([DAILY]))[0].settled == 5


async def test_windows_are_forgotten_when_they_expire(at: World) -> None:
    store = store_of(at)
    hold = await take(at, "r/1", DAILY, Limit(ORG, Measure.SPEND, 1000, "total"))
    await at.store.release(hold)
    expires = MIDNIGHT + 2 * DAY
    await at.set_clock(expires - 1)
    await take(at, "a/1", RUNNING)
    assert len(store._counters.windows) == 2
    await at.advance(PRUNE_MS - 1)
    await take(at, "b/1", RUNNING)
    assert len(store._counters.windows) == 2  # it looks once a minute
    await at.advance(1)
    await take(at, "c/1", RUNNING)
    assert [cell.expires for cell in store._counters.windows.values()] == [-1]


async def test_buckets_are_kept_one_window_longer_than_they_count(at: World) -> None:
    store = store_of(at)
    hold = await take(at, "r/1", ROLLING)
    await at.store.dispatch(hold)
    await at.store.settle(hold, {Measure.SPEND: 5})
    (key,) = store._counters.rolling
    for minutes, settled, kept in ((60, 5, 1), (61, 0, 1), (120, 0, 1), (121, 0, 0)):
        await at.set_clock(MIDNIGHT + minutes * 60_000)
        assert (await at.store.standing([ROLLING]))[0].settled == settled
        assert len(store._counters.rolling[key]) == kept
    await take(at, "other/1", RUNNING)
    assert key not in store._counters.rolling


async def test_lapsed_leases_keep_their_place_for_a_while_and_are_then_forgotten(at: World) -> None:
    store = store_of(at)
    hold = await take(at, "r/1", RUNNING)
    (key,) = store._counters.running
    for later, held, kept in ((LEASE_MS, 1, 1), (LEASE_MS + SLACK_MS - 1, 1, 1), (LEASE_MS + SLACK_MS, 0, 0)):
        await at.set_clock(hold.admitted + later)
        assert (await at.store.standing([RUNNING]))[0].held == held
        assert len(store._counters.running[key]) == kept
    await take(at, "other/1", DAILY)
    assert key not in store._counters.running


async def test_only_rates_have_a_debt_to_remember(at: World) -> None:
    rate = Limit(ORG, Measure.REQUESTS, 60, "minute")
    await take(at, "r/1", DAILY, ROLLING, RUNNING, rate)
    assert store_of(at)._counters.rates == {}  # it asked for no request
    await at.store.reserve([Reservation("r/2", {Measure.SPEND: 5, Measure.REQUESTS: 1}, [DAILY, rate])])
    assert list(store_of(at)._counters.rates.values()) == [(60_000, at.now)]


def test_the_clock_is_in_milliseconds_since_1970() -> None:
    assert 1_700_000_000_000 < wall_clock() < 10_000_000_000_000
