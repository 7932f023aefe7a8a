"""While the store is away: closed for dollars, open for rates, an allowance where it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.quota import connection
from gateway.quota.allowance import LEASE_MS, RENEW_MS, SPENDABLE_MS
from gateway.quota.away import DEFAULT, Away, GuardedStore
from gateway.quota.errors import HoldLost, Rebuilding, StoreAway
from gateway.quota.holds import State
from gateway.quota.local import LocalQuotaStore
from gateway.quota.outcomes import Admitted, End, Epoch, Refused, Reservation
from gateway.quota.terms import Limit, Measure, Scope

DOLLAR = 1_000_000_000
START = 1_795_000_000_000
PROJECT = Limit(Scope.project("p1"), Measure.SPEND, 50 * DOLLAR, "month")
KEY = Limit(Scope.key("p1", "k1"), Measure.SPEND, 20 * DOLLAR, "month")
RATE = Limit(Scope.key("p1", "k1"), Measure.IMAGES, 5, "minute")
TRIAL = Limit(Scope.key("p1", "k1"), Measure.SPEND, DOLLAR, "month", shadow=True)
DOLLARS = (PROJECT, KEY)


class Patient(LocalQuotaStore):
    """A store that can be made to raise what it would raise if it were away."""

    failure: Exception | None = None

    def _warm(self) -> int:
        if self.failure is not None:
            raise self.failure
        return super()._warm()


class Replica:
    def __init__(self, modes: Mapping[Measure, Away]) -> None:
        self.now = START
        self.inner = Patient(clock=lambda: self.now)
        modes = {**DEFAULT, **modes}
        self.store = GuardedStore(self.inner, lambda limit: modes[limit.measure], clock=lambda: self.now)

    async def warm(self) -> Replica:
        await self.inner.rebuild(Epoch(1), [], [])
        self.now += 10_000
        return self

    def away(self, failure: Exception | None = None) -> None:
        self.inner.failure = failure or StoreAway("test")

    def back(self) -> None:
        self.inner.failure = None

    async def reserve(self, rid: str, *limits: Limit, **amounts: int) -> Admitted | Refused:
        wanted = {Measure(name): n for name, n in amounts.items()}
        outcome = await self.store.reserve([Reservation(rid, wanted, limits)])
        await asyncio.sleep(0)  # a slice is set aside in the background
        await asyncio.sleep(0)
        return outcome

    async def take(self, rid: str, *limits: Limit, **amounts: int) -> Any:
        outcome = await self.reserve(rid, *limits, **amounts)
        assert isinstance(outcome, Admitted)
        return outcome.holds[0]

    async def sums(self, limit: Limit) -> tuple[int, int, int]:
        (x,) = await self.inner.standing([limit])
        return (x.settled, x.held, x.unknown)


@pytest.fixture
async def closed() -> Replica:
    return await Replica({}).warm()


@pytest.fixture
async def allowed() -> Replica:
    return await Replica({Measure.SPEND: Away.ALLOWANCE}).warm()


async def test_f15_dollars_are_closed(closed: Replica) -> None:
    closed.away()
    with pytest.raises(StoreAway) as refusal:
        await closed.reserve("r/1", *DOLLARS, RATE, spend=1, images=1)
    assert (refusal.value.status, refusal.value.code) == (503, "budget_store_unavailable")
    assert (refusal.value.retryable, refusal.value.retry_after) == (True, 5)


async def test_f19_dollars_are_closed_while_the_state_is_rebuilt(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=1)
    allowed.away(Rebuilding())
    with pytest.raises(Rebuilding) as refusal:
        await allowed.reserve("r/1", *DOLLARS, spend=1)
    assert (refusal.value.code, refusal.value.retry_after) == ("budget_state_rebuilding", 1)


async def test_f17_rates_alone_are_open_and_say_so(closed: Replica) -> None:
    closed.away()
    outcome = await closed.reserve("r/1", RATE, TRIAL, images=3, spend=5)
    assert isinstance(outcome, Admitted)
    assert not outcome.enforced
    hold = outcome.holds[0]
    assert (await closed.store.dispatch(hold)).hold == hold
    with pytest.raises(HoldLost):
        await closed.store.dispatch(hold)
    moved = await closed.store.settle(hold, {Measure.SPEND: 4})
    assert (moved.applied, moved.deferred) == (True, True)
    closed.back()
    assert closed.store.behind == 1
    assert await closed.store.catch_up() == 1
    assert closed.store.behind == 0
    assert await closed.sums(TRIAL) == (4, 0, 0)


async def test_an_attempt_that_runs_when_the_store_comes_back_is_taken_in(closed: Replica) -> None:
    closed.away()
    hold = await closed.take("r/1", RATE, TRIAL, images=3, spend=5)
    await closed.store.dispatch(hold)
    closed.back()
    await closed.store.catch_up()
    assert await closed.sums(TRIAL) == (0, 5, 0)
    assert (await closed.store.settle(hold, {Measure.SPEND: 4})).before is State.DISPATCHED
    assert await closed.sums(TRIAL) == (4, 0, 0)


async def test_f18_a_settle_while_the_store_is_away_is_told_later_and_once(closed: Replica) -> None:
    hold = await closed.take("r/1", *DOLLARS, spend=100)
    await closed.store.dispatch(hold)
    closed.away()
    for _ in range(2):
        moved = await closed.store.settle(hold, {Measure.SPEND: 70})
        assert (moved.applied, moved.deferred) == (False, True)
    closed.back()
    await closed.store.catch_up()
    assert await closed.sums(KEY) == (70, 0, 0)


async def test_dispatch_is_refused_while_dollars_cannot_be_proved(closed: Replica) -> None:
    dollars = await closed.take("a/1", *DOLLARS, spend=100)
    rate = await closed.take("b/1", RATE, images=1)
    closed.away()
    with pytest.raises(StoreAway):
        await closed.store.dispatch(dollars)
    await closed.store.dispatch(rate)


async def test_an_earlier_attempt_that_ended_meanwhile_is_told_later(closed: Replica) -> None:
    first = await closed.take("r/1", *DOLLARS, spend=100)
    await closed.store.dispatch(first)
    closed.away()
    with pytest.raises(StoreAway):
        await closed.store.reserve(
            [Reservation("r/2", {Measure.SPEND: 100}, DOLLARS)], [End(first, State.RELEASED)]
        )
    closed.back()
    await closed.store.catch_up()
    assert await closed.sums(KEY) == (0, 0, 0)


async def test_f16_an_allowance_is_spent_and_then_it_is_closed(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=0)
    slice_ = 20 * DOLLAR // 100
    assert await allowed.sums(KEY) == (0, slice_, 0)
    assert await allowed.sums(PROJECT) == (0, slice_, 0)
    allowed.away()
    outcome = await allowed.reserve("a/1", *DOLLARS, spend=slice_ - 1)
    assert isinstance(outcome, Admitted)
    assert outcome.enforced
    with pytest.raises(StoreAway):
        await allowed.reserve("b/1", *DOLLARS, spend=2)
    await allowed.take("c/1", *DOLLARS, spend=1)
    await allowed.store.dispatch(outcome.holds[0])
    await allowed.store.settle(outcome.holds[0], {Measure.SPEND: 1000})
    await allowed.take("d/1", *DOLLARS, spend=slice_ - 1001)
    with pytest.raises(StoreAway):
        await allowed.reserve("e/1", *DOLLARS, spend=1)


async def test_what_an_allowance_paid_for_is_counted_once_when_the_store_is_back(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=0)
    allowed.away()
    done, running, early = [await allowed.take(f"{n}/1", *DOLLARS, spend=1000) for n in range(3)]
    for hold in (done, running):
        await allowed.store.dispatch(hold)
    await allowed.store.settle(done, {Measure.SPEND: 700})
    await allowed.store.release(early)
    allowed.back()
    await allowed.store.catch_up()
    assert await allowed.sums(KEY) == (700, 1000, 0)
    await allowed.store.settle(running, {Measure.SPEND: 900})
    assert await allowed.sums(KEY) == (1600, 0, 0)


async def test_a_slice_stops_being_spent_long_before_its_lease_ends(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=0)
    allowed.away()
    allowed.now += SPENDABLE_MS - 1
    await allowed.take("a/1", *DOLLARS, spend=1)
    allowed.now += 1
    with pytest.raises(StoreAway):
        await allowed.reserve("b/1", *DOLLARS, spend=1)
    assert LEASE_MS - SPENDABLE_MS >= 120_000


async def test_a_slice_is_renewed_at_half_its_life_and_the_old_one_given_back(allowed: Replica) -> None:
    await allowed.take("a/1", *DOLLARS, spend=0)
    allowed.now += RENEW_MS - 1
    await allowed.take("b/1", *DOLLARS, spend=0)
    assert len((await allowed.inner.open_ids()).rids) == 3
    allowed.now += 1
    await allowed.take("c/1", *DOLLARS, spend=0)
    for _ in range(5):
        await asyncio.sleep(0)
    held = (await allowed.sums(KEY))[1]
    assert 0 < held <= 20 * DOLLAR // 100
    slices = [rid for rid in (await allowed.inner.open_ids()).rids if rid.startswith("allowance")]
    assert len(slices) == 1


async def test_a_slice_serves_only_the_limits_that_it_was_taken_from(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=0)
    other = Limit(Scope.key("p1", "k2"), Measure.SPEND, 20 * DOLLAR, "month")
    allowed.away()
    for limits in ((PROJECT, other), (PROJECT,), (*DOLLARS, other)):
        with pytest.raises(StoreAway):
            await allowed.reserve("a/1", *limits, spend=1)
    await allowed.take("a/1", *DOLLARS, RATE, spend=1, images=1)


async def test_a_slice_of_a_month_is_worth_nothing_in_the_next(allowed: Replica) -> None:
    daily = Limit(Scope.key("p1", "k1"), Measure.SPEND, 20 * DOLLAR, "minute")
    await allowed.take("warm/1", daily, spend=0)
    allowed.away()
    await allowed.take("a/1", daily, spend=1)
    allowed.now += 60_000
    with pytest.raises(StoreAway):
        await allowed.reserve("b/1", daily, spend=1)


async def test_parallel_attempts_spend_an_allowance_together_or_not_at_all(allowed: Replica) -> None:
    await allowed.take("warm/1", *DOLLARS, spend=0)
    slice_ = 20 * DOLLAR // 100
    allowed.away()
    pair = [Reservation(f"r/{n}", {Measure.SPEND: slice_ // 2 + 1}, DOLLARS) for n in (1, 2)]
    with pytest.raises(StoreAway):
        await allowed.store.reserve(pair)
    await allowed.take("s/1", *DOLLARS, spend=slice_)


async def test_an_allowance_of_anything_but_dollars_is_closed() -> None:
    replica = await Replica({Measure.IMAGES: Away.ALLOWANCE}).warm()
    replica.away()
    with pytest.raises(StoreAway):
        await replica.reserve("a/1", RATE, images=1)


async def test_one_closed_dollar_limit_closes_a_call_that_has_an_allowance_elsewhere() -> None:
    now = START
    inner = Patient(clock=lambda: now)
    store = GuardedStore(
        inner, lambda limit: Away.CLOSED if limit is PROJECT else Away.ALLOWANCE, clock=lambda: now
    )
    await inner.rebuild(Epoch(1), [], [])
    assert isinstance(await store.reserve([Reservation("a/1", {Measure.SPEND: 1}, DOLLARS)]), Admitted)
    await asyncio.sleep(0)
    assert (await inner.open_ids()).rids == ("a/1",)
    inner.failure = StoreAway("test")
    with pytest.raises(StoreAway):
        await store.reserve([Reservation("b/1", {Measure.SPEND: 1}, DOLLARS)])


async def test_what_is_spent_carries_the_epoch_it_is_inside_of(allowed: Replica) -> None:
    """The ledger's fence: a slice is worth nothing in another epoch, an open limit nothing at all."""
    await allowed.take("warm/1", *DOLLARS, spend=0)
    allowed.away()
    assert (await allowed.take("a/1", *DOLLARS, spend=1)).epoch == 1
    assert (await allowed.take("b/1", RATE, images=1)).epoch == 0


async def test_a_rolling_budget_has_no_slice(allowed: Replica) -> None:
    rolling = Limit(KEY.scope, Measure.SPEND, 20 * DOLLAR, "day", rolling=True)
    await allowed.take("warm/1", rolling, spend=0)
    await asyncio.sleep(0)
    assert (await allowed.inner.open_ids()).rids == ("warm/1",)


async def test_a_connection_that_is_closed_under_a_write_is_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """uvloop has no OSError for it; a start, or a rebuild, must not end with it."""

    async def closed(_self: Redis, *_words: object, **_options: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    monkeypatch.setattr(Redis, "execute_command", closed)
    url = "redis://127.0.0.1:1/0"
    for call in (
        connection.identity(url),
        connection.claim(url, "building", 1),
        connection.refuse_eviction(connection.connect(url)),
    ):
        with pytest.raises(StoreAway) as away:
            await call
        assert away.value.reason == "RuntimeError"
