"""What failover is worth: a short run of ``bench/failover.py``, with its own providers, clients and clock and
the gateway's routing code. The seed makes it the same run every time."""

from __future__ import annotations

import pytest

from bench.failover import (
    BESIDE_THE_SDK,
    OUTAGES,
    PICTURE_SECONDS,
    SCENARIOS,
    Dice,
    picture_seconds,
    played,
    recovery,
)

REQUESTS = 15_000
NEAR = 0.004
"""Chance alone moves 15,000 requests by 0.0014."""

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *BESIDE_THE_SDK)}


def test_pictures_take_what_was_published() -> None:
    dice = Dice(1)
    times = sorted(picture_seconds(dice) for _ in range(100_000))
    assert times[50_000] == pytest.approx(58.7, rel=0.02)
    assert times[95_000] == pytest.approx(142.8, rel=0.02)
    assert sum(times) / len(times) == pytest.approx(68.5, rel=0.01)
    assert times[-1] <= PICTURE_SECONDS[-1][1]


@pytest.mark.parametrize(
    ("name", "delivered"),
    [
        ("one spare, next", 0.971),
        ("two spares, next", 0.995),
        ("one spare, default policy", 0.964),
        ("two spares, default policy", 0.986),
    ],
)
def test_spares_are_worth_what_was_promised(name: str, delivered: float) -> None:
    tally = played(BY_NAME[name], REQUESTS, 10.0, seed=1)
    assert tally.rate == pytest.approx(delivered, abs=NEAR)
    assert tally.extra <= REQUESTS * 0.01, "at most one request in a hundred is paid for twice"


def test_by_default_nothing_is_paid_for_twice() -> None:
    for name in ("one spare, default policy", "SDK through the gateway, one target, default"):
        assert played(BY_NAME[name], 3_000, 10.0, seed=2).extra == 0


@pytest.mark.parametrize(("requests", "rate"), [(REQUESTS, 10.0), (5_000, 0.02)], ids=["busy", "quiet"])
def test_with_one_target_an_sdk_is_no_worse_off_than_alone(requests: int, rate: float) -> None:
    alone = played(BY_NAME["SDK alone"], requests, rate, seed=2)
    through = played(BY_NAME["SDK through the gateway, one target, next"], requests, rate, seed=2)
    assert through.rate >= alone.rate


@pytest.mark.parametrize(
    ("name", "failure", "seconds"), OUTAGES[:5], ids=[outage[0] for outage in OUTAGES[:5]]
)
def test_a_dead_target_is_left_alone_within_seconds_and_comes_back(
    name: str, failure: object, seconds: float
) -> None:
    found = recovery(failure, seconds, rate=0.5, seed=1)  # type: ignore[arg-type]
    assert found.met <= 10
    assert found.out <= 30
    assert found.tried <= 60, "later it is asked by one request at a time"
    assert found.back <= 600
    assert found.rate > 0.995
