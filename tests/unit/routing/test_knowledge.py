"""What is known of targets: cooldowns, how long pictures take, and how long one attempt may."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.attempt_time import attempt_seconds
from gateway.routing.cooldowns import MOST, Cooldowns
from gateway.routing.latency import Latencies, Sketch
from gateway.routing.names import Shape, TargetName
from gateway.routing.windows import Decayed, WindowSum

A, B = TargetName("a/m"), TargetName("b/m")
MEDIUM, HIGH = Shape("m", "1024x1024", "medium"), Shape("m", "1024x1024", "high")


def test_the_longest_cooldown_holds_and_none_is_cut_short() -> None:
    cooldowns = Cooldowns()
    assert cooldowns.note(A, "requests", 10.0, 0.0) is not None
    assert cooldowns.note(A, "requests", 5.0, 1.0) is None
    cooldowns.note(A, "images", 30.0, 0.0)
    found = cooldowns.of(A, 5.0)
    assert found is not None
    assert (found.kind, found.until) == ("images", 30.0)
    assert cooldowns.of(B, 5.0) is None
    assert cooldowns.of(A, 30.0) is None
    cooldowns.forget(20.0)
    assert cooldowns.of(A, 20.0) is not None


@pytest.mark.parametrize("seconds", [0.0, 0.01, -5.0, float("nan"), float("inf")])
def test_a_cooldown_that_is_none_is_ignored(seconds: float) -> None:
    assert Cooldowns().note(A, "requests", seconds, 0.0) is None


def test_a_day_of_rest_is_an_hour() -> None:
    found = Cooldowns().note(A, "requests", 86400.0, 0.0)
    assert found is not None
    assert found.until == MOST


def test_quantiles_are_right_within_a_few_per_cent() -> None:
    dice, sketch = Random(1), Sketch()
    values = sorted(dice.lognormvariate(4.07, 0.54) for _ in range(5000))
    for number, value in enumerate(values):
        sketch.add(value, number * 0.1)
    for share in (0.5, 0.95, 0.99):
        assert sketch.quantile(share) == pytest.approx(values[int(share * 5000)], rel=0.06)


def test_an_hour_halves_the_weight_of_what_was_seen() -> None:
    sketch = Sketch()
    for _ in range(100):
        sketch.add(10.0, 0.0)
    for _ in range(60):
        sketch.add(100.0, 3600.0)
    assert sketch.weight(3600.0) == pytest.approx(110.0)
    median = sketch.quantile(0.5)
    assert median is not None
    assert median > 90


def test_a_sketch_outlives_years_of_silence() -> None:
    sketch = Sketch()
    sketch.add(10.0, 0.0)
    sketch.add(20.0, 1e9)
    assert sketch.quantile(0.5) == pytest.approx(20.0, rel=0.06)
    assert sketch.weight(1e9) == pytest.approx(1.0)


def test_nothing_is_said_of_what_was_never_seen() -> None:
    latencies = Latencies()
    assert latencies.expected(A, MEDIUM, 0.0) is None
    assert latencies.quantile(MEDIUM, 0.5) is None
    assert latencies.pace(A, 0.0) == 1.0
    assert Sketch().quantile(0.5) is None


def test_a_target_is_judged_over_shapes_by_how_it_compares() -> None:
    """A makes high pictures only, B medium ones only; C makes both, twice as fast."""
    latencies, c = Latencies(), TargetName("c/m")
    for number in range(60):
        now = float(number)
        latencies.note(A, HIGH, 200.0, now)
        latencies.note(c, HIGH, 100.0, now)
        latencies.note(B, MEDIUM, 20.0, now)
        latencies.note(c, MEDIUM, 10.0, now)
    assert latencies.pace(A, 60.0) == pytest.approx(latencies.pace(B, 60.0), rel=0.1)
    assert latencies.pace(c, 60.0) < 0.75
    a_medium = latencies.expected(A, MEDIUM, 60.0)
    assert a_medium is not None
    assert 16 < a_medium < 24, "although it never made one"
    assert latencies.expected(c, MEDIUM, 60.0) == pytest.approx(10.0)


def test_memory_is_bounded_by_the_number_of_shapes() -> None:
    latencies = Latencies()
    for number in range(3000):
        latencies.note(A, Shape("m", f"{number}x{number}"), 10.0, float(number))
    assert len(latencies._sketches) <= 2000
    assert latencies.expected(A, Shape("m", "2999x2999"), 3000.0) is not None


def test_quick_pictures_of_a_fresh_start_set_no_time_out() -> None:
    """In the first minute only quick ones can have come back."""
    latencies = Latencies()
    for number in range(200):
        latencies.note(A, MEDIUM, 15.0, number / 10)
    assert not latencies.is_settled(MEDIUM, 20.0, A)
    assert latencies.is_settled(MEDIUM, 601.0, A)
    latencies.note(B, MEDIUM, 15.0, 601.0)
    assert not latencies.is_settled(MEDIUM, 2000.0, B), "one picture says nothing of the slowest of a hundred"


@pytest.mark.parametrize(
    ("p99", "remaining", "follows", "seconds"),
    [
        (100.0, 280.0, True, 130.0),
        (200.0, 280.0, True, 260.0),
        (250.0, 280.0, True, 275.0),
        (2.0, 280.0, True, 30.0),
        (2.0, 20.0, True, 18.0),
        (100.0, 280.0, False, 275.0),
        (None, 280.0, True, 275.0),
        (100.0, 3.0, True, 2.7),
        (100.0, 0.0, True, 0.0),
    ],
)
def test_the_time_of_one_attempt(p99: float | None, remaining: float, follows: bool, seconds: float) -> None:
    assert attempt_seconds(p99, remaining, may_follow=follows) == pytest.approx(seconds)


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 300)), max_size=60))
def test_a_window_counts_each_amount_for_its_time_and_a_twentieth_at_most(
    steps: list[tuple[int, float]],
) -> None:
    window, now, seen = WindowSum(600.0), 0.0, []
    for amount, later in steps:
        now += later
        window.add(amount, now)
        seen.append((now, amount))
        certain = sum(amount for at, amount in seen if now - at < 600)
        possible = sum(amount for at, amount in seen if now - at <= 630.001)
        assert certain <= window.total(now) <= possible


def test_a_correction_goes_where_the_amount_is() -> None:
    window = WindowSum(600.0)
    window.add(100, 0.0)
    window.add(50, 100.0)
    window.correct(-100, 0.0, 200.0)
    assert window.total(200.0) == 50
    window.correct(-50, 100.0, 5000.0)
    assert window.total(5000.0) == 0
    window.add(7, 5000.0)
    assert window.total(5000.0) == 7


def test_an_average_forgets_by_time() -> None:
    mean = Decayed(300.0)
    mean.add(0.0, 0.0)
    mean.add(1.0, 300.0)
    assert mean.mean(300.0, prior=0.5, worth=0.0) == pytest.approx(1 / 1.5)
    assert mean.weight(600.0) == pytest.approx(0.75)
    assert mean.mean(1e7, prior=0.5, worth=1.0) == pytest.approx(0.5)
