"""When a target is taken out, how it comes back, and what says nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.routing import BreakerSettings
from gateway.routing.failure import Failure
from gateway.routing.health import State, TargetHealth, Ticket
from providers.base import Certainty, Kind

TERMS = BreakerSettings()
DEAD = Failure(Kind.SERVER, Certainty.FAILED)
AUTH = Failure(Kind.AUTH, Certainty.REJECTED)


@pytest.fixture
def target() -> TargetHealth:
    return TargetHealth(TERMS)


def fail(target: TargetHealth, times: int, now: float, failure: Failure = DEAD) -> float:
    for _ in range(times):
        ticket = target.begin(now)
        target.failed(ticket, failure, now + 0.01)
        now += 0.1
    return now


def succeed(target: TargetHealth, times: int, now: float) -> float:
    for _ in range(times):
        target.succeeded(target.begin(now), now + 0.01)
        now += 0.1
    return now


def test_it_takes_five_failures_in_a_row(target: TargetHealth) -> None:
    fail(target, 4, 0.0)
    assert target.state(1.0) is State.CLOSED
    fail(target, 1, 1.0)
    assert target.state(1.1) is State.OPEN
    assert target.until == pytest.approx(31.01)
    assert target.cause == "server"


def test_a_success_between_them_breaks_the_row(target: TargetHealth) -> None:
    now = fail(target, 4, 0.0)
    now = succeed(target, 1, now)
    fail(target, 4, now)
    assert target.state(5.0) is State.CLOSED


@pytest.mark.parametrize(
    "failure",
    [
        Failure(Kind.MODERATION, Certainty.REJECTED),
        Failure(Kind.INVALID, Certainty.REJECTED),
        Failure(Kind.OVERLOADED, Certainty.NOT_SENT),
    ],
)
def test_refused_content_faults_of_the_request_and_our_own_queue_never_count(
    target: TargetHealth, failure: Failure
) -> None:
    now = fail(target, 4, 0.0)
    now = fail(target, 100, now, failure)
    assert target.state(now) is State.CLOSED
    assert target.success_rate(now) < 0.9
    fail(target, 1, now)
    assert target.state(now + 1) is State.OPEN, "and they break no row either"


def test_refused_credentials_take_it_out_at_once(target: TargetHealth) -> None:
    fail(target, 1, 0.0, AUTH)
    assert (target.state(1.0), target.cause) == (State.OPEN, "auth")


def test_fewer_than_half_of_the_last_twenty_is_too_few(target: TargetHealth) -> None:
    now, good = 0.0, True
    for number in range(40):
        good = number % 5 in (0, 3)
        now = succeed(target, 1, now) if good else fail(target, 1, now)
        if target.state(now) is State.OPEN:
            break
    assert 10 <= number + 1 <= 20


def test_nothing_is_concluded_from_a_few_calls(target: TargetHealth) -> None:
    now = fail(target, 4, 0.0)
    now = succeed(target, 1, now)
    now = fail(target, 4, now)
    assert target.state(now) is State.CLOSED, "1 of 9"


def test_old_calls_are_forgotten(target: TargetHealth) -> None:
    now = fail(target, 4, 0.0)
    now = succeed(target, 1, now)
    now = fail(target, 4, now)
    now = succeed(target, 1, now + 700)
    now = fail(target, 4, now)
    assert target.state(now) is State.CLOSED


def test_quick_failures_before_the_first_picture_are_no_row(target: TargetHealth) -> None:
    """A sixth of all calls fails within seconds, a picture takes a minute."""
    dice = Random(1)
    running: list[Ticket] = []
    for number in range(300):
        now = number / 10
        ticket = target.begin(now)
        if dice.random() < 0.17:
            target.failed(ticket, DEAD, now + 0.05)
        else:
            running.append(ticket)
    assert target.state(30.0) is State.CLOSED
    for ticket in running:
        target.succeeded(ticket, ticket.began + 60)
    assert target.state(95.0) is State.CLOSED


def test_a_dead_target_is_out_after_five_calls_though_old_ones_still_run(target: TargetHealth) -> None:
    for number in range(600):
        target.begin(number / 10)
    fail(target, 5, 60.0)
    assert target.state(61.0) is State.OPEN


def test_failures_that_end_in_another_order_are_a_row_all_the_same(target: TargetHealth) -> None:
    tickets = [target.begin(float(number)) for number in range(5)]
    for ticket in reversed(tickets):
        assert target.state(10.0) is State.CLOSED
        target.failed(ticket, DEAD, 10.0)
    assert target.state(10.0) is State.OPEN


def test_one_real_request_tries_it(target: TargetHealth) -> None:
    fail(target, 5, 0.0)
    assert target.state(30.5) is State.DUE
    trial = target.begin(30.5)
    assert trial.is_trial
    assert target.state(31.0) is State.TRYING
    assert not target.begin(31.0).is_trial
    assert target.succeeded(trial, 90.0)
    assert target.state(90.0) is State.CLOSED


def test_each_failed_trial_doubles_the_time_up_to_ten_minutes(target: TargetHealth) -> None:
    now, times = fail(target, 5, 0.0), []
    for _ in range(7):
        now = target.until
        target.failed(target.begin(now), DEAD, now)
        times.append(round(target.until - now))
    assert times == [60, 120, 240, 480, 600, 600, 600]


def test_after_ten_good_minutes_the_doubling_starts_anew(target: TargetHealth) -> None:
    fail(target, 5, 0.0)
    target.failed(target.begin(target.until), DEAD, target.until)
    back = target.until
    target.succeeded(target.begin(back), back)
    fail(target, 5, back + 100)
    assert round(target.until - back - 100) == 120
    back = target.until
    target.succeeded(target.begin(back), back)
    fail(target, 5, back + 601)
    assert round(target.until - back - 601) == 30


def test_a_trial_that_says_nothing_leaves_the_next_one_free(target: TargetHealth) -> None:
    fail(target, 5, 0.0)
    trial = target.begin(31.0)
    target.failed(trial, Failure(Kind.MODERATION, Certainty.REJECTED), 32.0)
    assert target.state(32.0) is State.DUE
    target.abandon(target.begin(33.0))
    assert target.state(33.0) is State.DUE


def test_a_trial_that_nobody_ended_is_forgotten(target: TargetHealth) -> None:
    fail(target, 5, 0.0)
    target.begin(31.0)
    assert target.state(630.0) is State.TRYING
    assert target.state(631.0) is State.DUE


def test_calls_from_before_change_nothing(target: TargetHealth) -> None:
    early = [target.begin(0.0) for _ in range(10)]
    fail(target, 5, 1.0)
    until = target.until
    assert not target.succeeded(early[0], 5.0)
    assert not target.failed(early[1], DEAD, 6.0)
    assert (target.state(7.0), target.until) == (State.OPEN, until)
    target.succeeded(target.begin(until), until + 1)
    for ticket in early[2:]:
        target.failed(ticket, DEAD, until + 2)
    assert target.state(until + 3) is State.CLOSED


def test_its_share_grows_from_a_tenth_to_all_in_two_minutes(target: TargetHealth) -> None:
    assert target.share(0.0) == 1.0
    fail(target, 5, 0.0)
    target.succeeded(target.begin(31.0), 100.0)
    assert [target.share(100.0 + after) for after in (0, 60, 120, 1000)] == pytest.approx(
        [0.1, 0.55, 1.0, 1.0]
    )


def test_what_another_replica_says_holds_here_and_is_tried_here(target: TargetHealth) -> None:
    target.open_elsewhere(50.0, "server", 10.0)
    assert target.state(49.0) is State.OPEN
    assert target.begin(50.0).is_trial
    other = TargetHealth(TERMS)
    other.open_elsewhere(50.0, "server", 10.0)
    other.closed_elsewhere(20.0)
    assert (other.state(20.0), other.share(20.0)) == (State.CLOSED, 0.1)
    own = TargetHealth(TERMS)
    fail(own, 5, 0.0)
    own.closed_elsewhere(5.0)
    assert own.state(5.0) is State.OPEN, "its own experience stands"


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "good", "bad", "moderation"]), st.floats(0, 400)), max_size=120
    )
)
def test_it_is_always_in_a_state_that_it_can_leave(steps: Sequence[tuple[str, float]]) -> None:
    target, now = TargetHealth(TERMS), 0.0
    running: list[Ticket] = []
    for what, later in steps:
        now += later
        if what == "begin" or not running:
            running.append(target.begin(now))
        elif what == "good":
            target.succeeded(running.pop(0), now)
        else:
            kind = Kind.MODERATION if what == "moderation" else Kind.SERVER
            target.failed(running.pop(), Failure(kind, Certainty.FAILED), now)
        assert 0.1 <= target.share(now) <= 1.0
        assert 0.0 <= target.success_rate(now) <= 1.0
        if target.state(now) is State.OPEN:
            assert now < target.until <= now + 600
    assert target.state(now + 1100) in (State.CLOSED, State.DUE)
