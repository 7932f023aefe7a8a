"""What is bounded: retries in number and dollars, calls at once, and the line before an account."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.admission_queue import AdmissionQueue, Line, NoPlace, Refusal, verdict
from gateway.routing.concurrency import ConcurrencyCap
from gateway.routing.failure import Failure
from gateway.routing.retry_budget import RetryCount, RetrySpend
from gateway.routing.upstream_keys import KeyRing
from providers.base import Certainty, Kind

PICTURE = 53_000_000


def test_ten_further_attempts_are_always_free() -> None:
    count = RetryCount(Decimal("0.5"))
    for number in range(10):
        assert count.allows("a", "b", float(number))
        count.further("a", "b", float(number))
    assert not count.allows("a", "b", 10.0)
    assert count.allows("a", "c", 10.0), "another pair has its own"
    assert count.allows("a", "b", 700.0)


def test_half_of_the_requests_that_came_may_go_on() -> None:
    count = RetryCount(Decimal("0.5"))
    for _ in range(101):
        count.first("a", 0.0)
    for _ in range(50):
        assert count.allows("a", "b", 1.0)
        count.further("a", "b", 1.0)
    assert not count.allows("a", "b", 1.0)


def test_one_extra_call_a_day_is_always_allowed_and_then_one_per_cent() -> None:
    spend = RetrySpend(Decimal("0.01"))
    assert spend.allows(PICTURE, 0.0)
    spend.take(PICTURE, 0.0)
    assert not spend.allows(1, 1.0)
    for _ in range(199):
        spend.settled(PICTURE, 2.0)
    assert not spend.allows(PICTURE, 2.0)
    spend.settled(PICTURE, 2.0)
    assert spend.allows(PICTURE, 2.0)
    assert spend.allows(PICTURE, 100_000.0), "a new day"


def test_what_an_extra_call_did_not_cost_is_given_back() -> None:
    spend = RetrySpend(Decimal("0.01"))
    for _ in range(100):
        spend.settled(PICTURE, 0.0)
    ended = spend.take(PICTURE, 0.0)
    assert not spend.allows(PICTURE, 1.0)
    ended(0, 60.0)
    assert spend.allows(PICTURE, 61.0)


def test_how_much_of_the_share_is_spent_is_told() -> None:
    spend = RetrySpend(Decimal("0.01"))
    assert spend.used(0.0) == 0
    spend.take(PICTURE, 0.0)
    assert spend.used(0.0) == 1, "of nothing, all"
    for _ in range(200):
        spend.settled(PICTURE, 1.0)
    assert spend.used(1.0) == 0.5
    assert spend.used(100_000.0) == 0


def test_an_unknown_price_is_not_nothing() -> None:
    spend = RetrySpend(Decimal("0.01"))
    for _ in range(10_000):
        spend.settled(PICTURE, 0.0)
    assert spend.allows(None, 1.0)
    spend.take(None, 1.0)
    assert not spend.allows(None, 2.0)


def test_nothing_is_spent_twice_where_the_share_is_nothing() -> None:
    assert not RetrySpend(Decimal(0)).allows(1, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**9)), max_size=200), st.integers(0, 100))
def test_the_dollars_of_extra_calls_never_pass_their_share(
    steps: list[tuple[bool, int]], percent: int
) -> None:
    share = Decimal(percent) / 100
    spend, settled, taken, calls = RetrySpend(share), 0, 0, 0
    for number, (extra, amount) in enumerate(steps):
        now = float(number)
        if not extra:
            spend.settled(amount, now)
            settled += amount
        elif spend.allows(amount, now):
            spend.take(amount, now)
            calls += 1
            taken += amount
            assert calls == 1 or taken <= settled * share


def test_a_refusal_makes_room_for_seven_tenths_and_ten_successes_for_one_more() -> None:
    cap = ConcurrencyCap(40)
    assert cap.now == 40
    cap.refused(in_flight=30, began=0.0, now=1.0)
    assert cap.now == 21
    for _ in range(10):
        cap.succeeded()
    assert cap.now == 22
    for _ in range(10 * 18):
        cap.succeeded()
    assert cap.now == 40


def test_one_burst_of_refusals_counts_once() -> None:
    cap = ConcurrencyCap(40)
    for number in range(20):
        cap.refused(in_flight=40, began=0.5, now=1.0 + number / 100)
    assert cap.now == 28
    cap.refused(in_flight=28, began=2.0, now=3.0)
    assert cap.now == 19


def test_without_a_bound_one_is_learnt_and_given_up_again() -> None:
    cap = ConcurrencyCap()
    assert cap.now is None
    cap.refused(in_flight=10, began=0.0, now=1.0)
    assert cap.now == 7
    for _ in range(10 * 13):
        cap.succeeded()
    assert cap.now is None
    for began in range(20):
        cap.refused(in_flight=1, began=float(began), now=began + 0.5)
    assert cap.now == 1


@pytest.mark.parametrize(
    ("line", "p95", "remaining", "expected"),
    [
        (Line(5, None, 0, 0), 1e9, 1.0, None),
        (Line(5, 10, 0, 0, 60.0), 1e9, 1.0, None),
        (Line(10, 10, 0, 5, 60.0), 140.0, 280.0, None),
        (Line(10, 10, 0, 0, 60.0), 140.0, 280.0, Refusal.FULL),
        (Line(10, 10, 5, 5, 60.0), 140.0, 280.0, Refusal.FULL),
        (Line(10, 10, 22, 100, 60.0), 140.0, 280.0, None),
        (Line(10, 10, 23, 100, 60.0), 140.0, 280.0, Refusal.TOO_LATE),
        (Line(10, 10, 50, 100, None), None, 280.0, None),
        (Line(20, 10, 0, 100, 60.0), 0.0, 60.0, Refusal.TOO_LATE),
    ],
)
def test_who_is_sent_on_at_once(
    line: Line, p95: float | None, remaining: float, expected: Refusal | None
) -> None:
    assert verdict(line, p95, remaining) is expected


def queue(most: int | None, max_queue: int = 10, mean: float | None = None) -> AdmissionQueue:
    return AdmissionQueue(ConcurrencyCap(most), max_queue, lambda: mean)


async def test_places_are_given_in_the_order_of_arrival() -> None:
    line, order, gate = queue(2), [], asyncio.Event()

    async def call(number: int) -> None:
        async with line.place(None, 5.0):
            order.append(number)
            await gate.wait()

    tasks = [asyncio.create_task(call(number)) for number in range(6)]
    await asyncio.sleep(0)
    assert (order, line.in_flight, line.waiting) == ([0, 1], 2, 4)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4, 5]
    assert (line.in_flight, line.waiting) == (0, 0)


async def test_a_hopeless_wait_is_told_at_once() -> None:
    line = queue(1, max_queue=1, mean=60.0)
    async with line.place(None, 5.0):
        with pytest.raises(NoPlace) as caught:
            async with line.place(30.0, 80.0):
                pass
        assert (caught.value.because, caught.value.retry_after) == (Refusal.TOO_LATE, 60.0)


async def test_a_full_line_is_told_at_once() -> None:
    line = queue(1, max_queue=1)
    async with line.place(None, 5.0):
        waiting = asyncio.create_task(_pass(line))
        await asyncio.sleep(0)
        with pytest.raises(NoPlace) as caught:
            async with line.place(None, 500.0):
                pass
        assert caught.value.because is Refusal.FULL
    await waiting
    assert (line.in_flight, line.waiting) == (0, 0)


async def test_a_wait_ends_with_its_time_and_with_its_client() -> None:
    line = queue(1)
    async with line.place(None, 5.0):
        with pytest.raises(NoPlace):
            async with line.place(None, 0.01):
                pass
        gone = asyncio.create_task(_pass(line))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (line.in_flight, line.waiting) == (1, 0)
    assert (line.in_flight, line.waiting) == (0, 0)


async def test_a_place_that_comes_as_its_client_leaves_goes_to_the_next() -> None:
    line = queue(1)
    entered = []
    async with line.place(None, 5.0):
        first = asyncio.create_task(_pass(line))
        second = asyncio.create_task(_pass(line, entered))
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert entered == [True]
    assert (line.in_flight, line.waiting) == (0, 0)


async def test_a_smaller_cap_is_reached_by_calls_that_end() -> None:
    line = queue(3)
    gates = [asyncio.Event() for _ in range(4)]

    async def call(gate: asyncio.Event) -> None:
        async with line.place(None, 5.0):
            await gate.wait()

    tasks = [asyncio.create_task(call(gate)) for gate in gates]
    await asyncio.sleep(0)
    line.cap.refused(in_flight=3, began=0.0, now=1.0)
    assert line.cap.now == 2
    gates[0].set()
    await asyncio.sleep(0.01)
    assert (line.in_flight, line.waiting) == (2, 1)
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert (line.in_flight, line.waiting) == (0, 0)


async def _pass(line: AdmissionQueue, entered: list[bool] | None = None) -> None:
    async with line.place(None, 5.0):
        if entered is not None:
            entered.append(True)


REFUSED = Failure(Kind.AUTH, Certainty.REJECTED)
LIMITED = Failure(Kind.THROTTLED, Certainty.REJECTED, retry_after=20.0)


def test_keys_are_used_in_turn() -> None:
    ring = KeyRing(3)
    assert [ring.take(0.0) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_refused_key_rests_for_ten_minutes_then_twenty_and_an_hour_at_most() -> None:
    ring = KeyRing(2)
    ring.failed(0, REFUSED, 0.0)
    assert [ring.take(1.0) for _ in range(3)] == [1, 1, 1]
    assert ring.resting(599.0) == [0]
    assert ring.resting(600.0) == []
    ring.failed(0, REFUSED, 600.0)
    assert ring.resting(1799.0) == [0]
    for _ in range(20):
        ring.failed(0, REFUSED, 2000.0)
    assert ring.resting(5599.0) == [0]
    assert ring.resting(5600.0) == []
    ring.succeeded(0)
    ring.failed(0, REFUSED, 6000.0)
    assert ring.resting(6600.0) == []


def test_a_limited_key_rests_as_long_as_it_was_told() -> None:
    ring = KeyRing(2)
    ring.failed(1, LIMITED, 0.0)
    assert ring.resting(19.0) == [1]
    assert ring.resting(20.0) == []
    ring.failed(1, Failure(Kind.SERVER, Certainty.FAILED), 30.0)
    assert ring.resting(30.0) == []


def test_where_all_rest_the_one_that_rests_shortest_is_used() -> None:
    ring = KeyRing(2)
    ring.failed(0, REFUSED, 0.0)
    ring.failed(1, LIMITED, 0.0)
    assert ring.take(1.0) == 1
    assert KeyRing(1).take(0.0) == 0
