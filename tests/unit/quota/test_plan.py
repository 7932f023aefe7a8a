"""From limits to counters, and from counters to refusals: by numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.quota.outcomes import Reservation
from gateway.quota.plan import (
    NEVER,
    RATE_UNIT,
    RETENTION_MS,
    Gate,
    Spot,
    Tally,
    bindings,
    decayed,
    free_at,
    line,
    merged,
    plan,
    refund,
    refuses,
    shadowed,
    spot,
    standing,
    taken,
)
from gateway.quota.terms import MAX_AMOUNT, Limit, Measure, Scope
from gateway.quota.windows import BUCKETS, Calendar, from_ms

ORG = Scope.organization()
CALENDAR = Calendar("UTC")
DAY = 86_400_000
NOW = 20_000 * DAY + 12 * 3_600_000 + 34 * 60_000 + 567
"""Half past noon, a bit into a minute."""
HOURLY = Limit(ORG, Measure.SPEND, 100, "hour", rolling=True)
RATE = Limit(ORG, Measure.IMAGES, 60, "minute")


def gate_of(*limits: Limit, **amounts: int) -> Gate:
    made = plan([Reservation("r/1", {Measure(k): n for k, n in amounts.items()}, limits)], CALENDAR, NOW)
    assert len(made.gates) == 1
    return made.gates[0]


def retry_after(limit: Limit, tally: Tally, **amounts: int) -> int | None:
    (found,) = bindings([gate_of(limit, **amounts)], [tally], NOW, shadow=False)
    return found.retry_after_ms


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (
            Limit(ORG, Measure.SPEND, 1, "day"),
            Spot("day:2024-10-04@UTC", 20_000 * DAY, 20_001 * DAY, 0, 20_002 * DAY),
        ),
        (
            Limit(ORG, Measure.SPEND, 1, "minute"),
            Spot("minute:2024-10-04T12:34+0000@UTC", NOW - 567, NOW - 567 + 60_000, 0, NOW - 567 + 3_660_000),
        ),
        (Limit(ORG, Measure.SPEND, 1, "total"), Spot("total", 0, NEVER, 0, NEVER)),
        (
            HOURLY,
            Spot(str(NOW // 60_000), NOW - 567, NOW - 567 + 60_000, 60_000, NOW - 567 + 3 * 3_600_000),
        ),
        (RATE, Spot("", 0, NEVER, 60, NEVER)),
        (Limit(ORG, Measure.CONCURRENT, 3), Spot("", 0, NEVER, 0, NEVER)),
    ],
)
def test_where_a_limit_counts_and_how_long_that_is_kept(limit: Limit, expected: Spot) -> None:
    assert spot(limit, CALENDAR, from_ms(NOW)) == expected
    assert RETENTION_MS == 3_600_000


def test_sums_of_one_window_become_one_line_and_rates_have_none() -> None:
    at = from_ms(NOW)
    daily = Limit(ORG, Measure.SPEND, 1, "day")
    sums = [line(daily, 3, CALENDAR, at), line(RATE, 5, CALENDAR, at), line(HOURLY, 7, CALENDAR, at)]
    sums += [line(daily, 4, CALENDAR, at), line(HOURLY, 9, CALENDAR, from_ms(NOW + 60_000))]
    assert [each.amount for each in merged(sums)] == [7, 7, 9]


@pytest.mark.parametrize("amount", [0, MAX_AMOUNT])
def test_the_least_and_the_most_that_can_be_counted(amount: int) -> None:
    assert gate_of(HOURLY, spend=amount).need == amount


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_beyond_it_nothing_is_counted(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        gate_of(HOURLY, spend=amount)


def test_a_counter_under_several_limits_is_taken_from_once_and_judged_by_the_lowest() -> None:
    low, high = Limit(ORG, Measure.SPEND, 10, "day"), Limit(ORG, Measure.SPEND, 20, "day")
    trial, later = (Limit(ORG, Measure.SPEND, n, "day", shadow=True) for n in (5, 8))
    gate = gate_of(high, low, low, later, trial, spend=6)
    assert (gate.need, gate.enforced, gate.trial) == (6, 10, 5)
    assert gate.limits == [high, low, later, trial]
    assert not refuses(gate, Tally(1, 2, 1))
    assert refuses(gate, Tally(1, 2, 2))
    assert shadowed(gate, Tally())
    assert taken(gate, Tally(1, 2, 3, 4)) == Tally(1, 8, 3, 4)


def test_a_rate_under_two_limits_decays_at_the_lower() -> None:
    other = Limit(ORG, Measure.IMAGES, 30, "minute")
    for limits in ((RATE, other), (other, RATE)):
        gate = gate_of(*limits, images=2)
        assert (gate.line.param, gate.spot.param, gate.need) == (30, 30, 2)
        made = plan([Reservation("r/1", {Measure.IMAGES: 2}, limits)], CALENDAR, NOW)
        assert [each.param for each in made.lines[0]] == [30]


def test_what_is_not_wanted_has_no_counter_and_a_running_call_counts_as_one() -> None:
    running = Limit(ORG, Measure.CONCURRENT, 3)
    made = plan([Reservation("r/1", {Measure.SPEND: 5}, [RATE, running, HOURLY])], CALENDAR, NOW)
    assert [(gate.line.measure, gate.need) for gate in made.gates] == [
        (Measure.CONCURRENT, 1),
        (Measure.SPEND, 5),
    ]


def test_what_was_taken_before_needs_nothing_again() -> None:
    wishes = [Reservation(rid, {Measure.SPEND: 5}, [HOURLY]) for rid in ("r/1", "r/2")]
    made = plan(wishes, CALENDAR, NOW, {"r/1"})
    assert [gate.need for gate in made.gates] == [5]
    assert [len(lines) for lines in made.lines] == [1, 1]


def test_nothing_needed_is_never_refused() -> None:
    gate = gate_of(HOURLY, spend=0)
    assert not refuses(gate, Tally(1000))
    assert bindings([gate], [Tally(1000)], NOW, shadow=False) == ()


def test_a_rate_has_room_for_exactly_its_burst() -> None:
    gate = gate_of(RATE, images=60)
    assert not refuses(gate, Tally())
    assert refuses(gate, Tally(1))
    assert taken(gate, Tally(7)) == Tally(7 + 60 * RATE_UNIT)


@pytest.mark.parametrize(
    ("limit", "tally", "amounts", "wait"),
    [
        # 60 a minute is one a second; 5 of debt and 58 wanted are 3 too many.
        (RATE, Tally(5 * RATE_UNIT), {"images": 58}, 3000),
        (RATE, Tally(5 * RATE_UNIT + 1), {"images": 58}, 3001),
        (RATE, Tally(), {"images": 61}, None),
        (HOURLY, Tally(100, free_at=NOW + 1234), {"spend": 1}, 1234),
        (HOURLY, Tally(100, free_at=NOW - 1), {"spend": 1}, 0),
        (HOURLY, Tally(100), {"spend": 1}, None),
        (HOURLY, Tally(100, free_at=NOW + 1234), {"spend": 100}, 1234),
        (HOURLY, Tally(100, free_at=NOW + 1234), {"spend": 101}, None),
        (Limit(ORG, Measure.SPEND, 100, "minute"), Tally(100), {"spend": 1}, 60_000 - 567),
        (Limit(ORG, Measure.SPEND, 100, "total"), Tally(100), {"spend": 1}, None),
        (Limit(ORG, Measure.CONCURRENT, 3), Tally(held=3), {}, None),
    ],
)
def test_when_it_is_worth_asking_again(
    limit: Limit, tally: Tally, amounts: dict[str, int], wait: int | None
) -> None:
    assert retry_after(limit, tally, **amounts) == wait


@pytest.mark.parametrize(
    ("limit", "tally", "expected"),
    [
        # One image is 1000 ms of a rate of 60; what is begun counts whole.
        (RATE, Tally(2 * RATE_UNIT + 1), (3, 0, 0, NOW + 2001)),
        (RATE, Tally(), (0, 0, 0, NOW)),
        (HOURLY, Tally(1, 2, 3, NOW + 5), (1, 2, 3, NOW + 5)),
        (HOURLY, Tally(1, 2, 3), (1, 2, 3, None)),
        (Limit(ORG, Measure.SPEND, 1, "day"), Tally(1, 2, 3), (1, 2, 3, 20_001 * DAY)),
        (Limit(ORG, Measure.SPEND, 1, "total"), Tally(1, 2, 3), (1, 2, 3, None)),
        (Limit(ORG, Measure.CONCURRENT, 3), Tally(held=2), (0, 2, 0, None)),
    ],
)
def test_where_a_limit_stands(limit: Limit, tally: Tally, expected: tuple[Any, ...]) -> None:
    found = standing(limit, spot(limit, CALENDAR, from_ms(NOW)), tally, NOW)
    resets = None if expected[3] is None else from_ms(expected[3])
    assert (found.settled, found.held, found.unknown, found.resets_at) == (*expected[:3], resets)


def test_a_debt_decays_to_nothing_and_not_below_and_not_backwards() -> None:
    assert [decayed(100, NOW, NOW + ms, 30) for ms in (-5, 0, 1, 3, 4)] == [100, 100, 70, 10, 0]


def test_an_unused_amount_gives_back_what_cannot_have_decayed() -> None:
    unit = RATE_UNIT
    assert [refund(2, NOW, NOW + ms, 60) for ms in (-5, 0, 1, 1999, 2000, 2001)] == [
        2 * unit,
        2 * unit,
        2 * unit - 60,
        60,
        0,
        0,
    ]


def test_a_rolling_window_frees_when_enough_of_its_oldest_buckets_have_left() -> None:
    totals = {12: 30, 10: 50, 11: 20}
    assert free_at(totals, 60_000, 1, 101) == NEVER  # there is room
    assert free_at(totals, 60_000, 1, 100) == (10 + BUCKETS + 1) * 60_000
    assert free_at(totals, 60_000, 50, 100) == (10 + BUCKETS + 1) * 60_000
    assert free_at(totals, 60_000, 51, 100) == (11 + BUCKETS + 1) * 60_000
    assert free_at(totals, 60_000, 100, 100) == (12 + BUCKETS + 1) * 60_000
    assert free_at(totals, 60_000, 101, 100) == NEVER
