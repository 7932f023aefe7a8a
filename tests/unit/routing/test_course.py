"""One request over its targets, as the engine takes it: health, budgets and decisions together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from config.schema import Settings
from gateway.errors import Forbidden, InvalidRequest
from gateway.routing.course import Budgets, Course
from gateway.routing.decision import Because, Step
from gateway.routing.drills import read_drill
from gateway.routing.failure import Failure
from gateway.routing.health import State
from gateway.routing.names import Shape, TargetName
from gateway.routing.policy import Policy, compiled
from gateway.routing.selection import Contender, order
from gateway.routing.shared import Note
from gateway.routing.watch import Change, Watch
from gateway.routing.wishes import Wishes, read_wishes
from providers.base import Certainty, Kind

SHAPE = Shape("m", "1024x1024", "high")
PICTURE = 53_000_000
CLEAR = Failure(Kind.SERVER, Certainty.FAILED)
UNCLEAR = Failure(Kind.SERVER, Certainty.MAYBE_ACCEPTED)
A, B = TargetName("a/m"), TargetName("b/m")


def policy(**routing: object) -> Policy:
    return compiled(Settings.model_validate({"routing": routing}))


class Gateway:
    """One process's routing."""

    def __init__(self, targets: str = "ab", **routing: object) -> None:
        self.policy = policy(**routing)
        self.watch = Watch(self.policy.breaker)
        self.budgets = Budgets(count=self.policy.retry_count, spend=self.policy.retry_spend)
        self.contenders = [Contender(name, "m", SHAPE, price=PICTURE) for name in targets]

    def request(self, now: float) -> Course:
        wanted = order(self.contenders, "priority", self.watch, now, lambda: 0.5)
        return Course(wanted, self.policy, self.watch, self.budgets, now + 280, lambda: 0.5)

    def play(self, now: float, outcomes: Sequence[Failure | None]) -> tuple[str, Course]:
        """One request with these outcomes, a second each; the providers that were called."""
        course, called = self.request(now), ""
        attempt = course.start(now)
        for outcome in outcomes:
            assert attempt is not None, called
            called += attempt.ranked.contender.provider
            now += 1
            if outcome is None:
                course.succeeded(attempt, now)
                course.cost(attempt, PICTURE, now)
                return called, course
            decision = course.failed(attempt, outcome, now)
            attempt = course.go_on(now + decision.wait)
        assert attempt is None, called
        return called, course


def test_a_clear_failure_goes_to_the_next_target() -> None:
    called, course = Gateway().play(0.0, [CLEAR, None])
    assert called == "ab"
    assert not course.attempts[1].is_extra


def test_an_unclear_failure_ends_it_and_the_client_is_told_not_to_repeat_it() -> None:
    called, course = Gateway().play(0.0, [UNCLEAR])
    assert (called, course.ended.because, course.client_may_retry) == ("a", Because.POLICY, False)


def test_one_target_is_asked_once_more_and_stays_open_to_the_clients_own_retry() -> None:
    called, course = Gateway("a").play(0.0, [CLEAR, CLEAR])
    assert (called, course.ended.because, course.client_may_retry) == ("aa", Because.TRIED_ALL, None)


def test_after_two_targets_the_client_does_not_try_again() -> None:
    called, course = Gateway().play(0.0, [CLEAR, CLEAR])
    assert (called, course.client_may_retry) == ("ab", False)


def test_no_more_than_max_attempts() -> None:
    called, course = Gateway("abcd").play(0.0, [CLEAR, CLEAR, CLEAR])
    assert (called, course.ended.because) == ("abc", Because.ATTEMPTS)


def test_another_key_of_the_account_is_tried_before_another_target() -> None:
    refused = Failure(Kind.AUTH, Certainty.REJECTED)
    gateway = Gateway()
    course = gateway.request(0.0)
    first = course.start(0.0)
    assert first is not None
    decision = course.failed(first, refused, 1.0, other_key=True)
    assert (decision.step, decision.because) == (Step.SAME_AGAIN, Because.OTHER_KEY)
    second = course.go_on(1.0)
    assert second is not None
    assert second.ranked.contender.provider == "a"
    assert gateway.watch.standing(A, SHAPE, 1.0).state is State.CLOSED, "the key is not the target"
    assert course.failed(second, refused, 2.0).step is Step.NEXT
    assert gateway.watch.standing(A, SHAPE, 2.0).state is State.OPEN


def test_a_drill_changes_nothing_in_what_is_known_of_a_target() -> None:
    gateway = Gateway("a", max_attempts=1)
    for number in range(9):
        course = gateway.request(float(number))
        attempt = course.start(float(number))
        assert attempt is not None
        course.failed(attempt, CLEAR, number + 0.5, drill=True)
    assert gateway.watch.standing(A, SHAPE, 10.0).state is State.CLOSED
    assert gateway.watch.live(A, 10.0).success is None


def test_what_finds_no_room_gives_way_to_one_that_does_and_makes_no_attempt() -> None:
    gateway = Gateway("abc", max_attempts=1)
    course = gateway.request(0.0)
    first = course.start(0.0)
    assert first is not None
    found = course.instead(first, 0.0, lambda ranked: ranked.contender.provider == "c")
    assert found is not None
    assert found.ranked.contender.provider == "c"
    assert len(course.attempts) == 1
    assert course.instead(found, 0.0, lambda ranked: False) is None


def test_missing_pictures_are_asked_for_once_a_day_and_never_of_the_same_target() -> None:
    gateway = Gateway("ab")
    for number, found in enumerate(("b", None)):
        course = gateway.request(float(number))
        attempt = course.start(float(number))
        assert attempt is not None
        course.succeeded(attempt, number + 0.5)
        further = course.to_fill(number + 0.5, lambda ranked: True)
        assert (further and further.ranked.contender.provider) == found
        if further is not None:
            assert further.is_extra
            assert course.to_fill(number + 0.5, lambda ranked: True) is None


def test_extra_calls_are_bounded_by_dollars() -> None:
    gateway = Gateway(on_failure={"maybe_accepted": "next"})
    called, course = gateway.play(0.0, [UNCLEAR, None])
    assert called == "ab"
    assert course.attempts[1].is_extra
    called, course = gateway.play(10.0, [UNCLEAR])
    assert (called, course.ended.because, course.client_may_retry) == ("a", Because.RETRY_SPEND, False)
    for number in range(200):
        gateway.play(20.0 + number, [None])
    assert gateway.play(300.0, [UNCLEAR, None])[0] == "ab"


def test_an_extra_call_that_clearly_failed_costs_the_budget_nothing() -> None:
    gateway = Gateway(on_failure={"maybe_accepted": "next"})
    gateway.play(0.0, [UNCLEAR, None])
    for number in range(110):
        gateway.play(10.0 + number, [None])
    course = gateway.request(200.0)
    first = course.start(200.0)
    assert first is not None
    course.failed(first, UNCLEAR, 201.0)
    extra = course.go_on(201.0)
    if extra is not None:
        course.not_sent(extra, 202.0)
    assert gateway.budgets.spend.allows(PICTURE // 10, 202.0)


def test_a_dead_target_leaves_after_five_requests_and_comes_back_by_one() -> None:
    gateway = Gateway()
    for number in range(5):
        called, course = gateway.play(float(number) * 2, [CLEAR, None])
        assert called == "ab"
    assert course.change is None
    assert gateway.watch.standing(A, SHAPE, 10.0).state is State.OPEN
    assert gateway.play(11.0, [None])[0] == "b"
    trial = gateway.request(50.0)
    attempt = trial.start(50.0)
    assert attempt is not None
    assert attempt.ranked.contender.provider == "a"
    assert gateway.play(51.0, [None])[0] == "b", "only one at a time"
    trial.succeeded(attempt, 60.0)
    assert trial.change is Change.CLOSED
    assert gateway.watch.standing(A, SHAPE, 60.0).state is State.CLOSED


def test_a_plan_that_is_older_than_the_breaker_passes_over_what_was_taken_out() -> None:
    gateway = Gateway()
    course = gateway.request(0.0)
    for number in range(5):
        gateway.play(float(number), [CLEAR, None])
    attempt = course.start(10.0)
    assert attempt is not None
    assert attempt.ranked.contender.provider == "b"


def test_where_every_provider_asked_for_rest_nothing_starts() -> None:
    gateway = Gateway("a")
    limited = Failure(Kind.THROTTLED, Certainty.REJECTED, retry_after=100.0)
    called, course = gateway.play(0.0, [limited])
    assert (called, course.ended.because) == ("a", Because.DEADLINE)
    later = gateway.request(10.0)
    assert later.start(10.0) is None
    assert later.order.soonest == pytest.approx(101.0)
    assert later.client_may_retry is None


def test_a_short_rest_of_the_only_target_is_waited_for() -> None:
    gateway = Gateway("a")
    course = gateway.request(0.0)
    attempt = course.start(0.0)
    assert attempt is not None
    decision = course.failed(attempt, Failure(Kind.THROTTLED, Certainty.REJECTED, retry_after=4.0), 1.0)
    assert (decision.step, decision.wait) == (Step.SAME_AGAIN, 4.0)
    assert course.go_on(5.0) is not None


def test_a_provider_that_says_when_to_come_again_is_not_marked_sick() -> None:
    gateway = Gateway()
    limited = Failure(Kind.THROTTLED, Certainty.REJECTED, retry_after=1.0)
    for number in range(10):
        assert gateway.play(number * 10.0, [limited, None])[0] == "ab"
    assert gateway.watch.standing(A, SHAPE, 200.0).state is State.CLOSED


def test_what_headers_say_has_run_out_is_heard() -> None:
    gateway = Gateway()
    gateway.watch.heard(A, {"x-ratelimit-remaining-images": "0", "x-ratelimit-reset-images": "12s"}, 0.0)
    assert gateway.play(1.0, [None])[0] == "b"
    assert gateway.play(13.0, [None])[0] == "a"


def test_replicas_tell_each_other() -> None:
    class Shared:
        def __init__(self) -> None:
            self.notes: dict[tuple[TargetName, str], Note] = {}

        def publish(self, note: Note) -> None:
            self.notes[(note.target, note.kind)] = note

        def withdraw(self, target: TargetName) -> None:
            self.notes.pop((target, "open"), None)

        def heard(self) -> Sequence[Note]:
            return list(self.notes.values())

    shared, one = Shared(), Gateway()
    one.watch = Watch(one.policy.breaker, shared)
    two = Watch(one.policy.breaker, shared)
    for number in range(5):
        one.play(float(number), [CLEAR, None])
    assert two.standing(A, SHAPE, 10.0).state is State.OPEN
    course = one.request(50.0)
    attempt = course.start(50.0)
    assert attempt is not None
    course.succeeded(attempt, 51.0)
    assert two.standing(A, SHAPE, 20.0).state is State.CLOSED
    one.watch.heard(B, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60"}, 60.0)
    cooldown = two.standing(B, SHAPE, 30.0).cooldown
    assert cooldown is not None
    assert cooldown.kind == "requests"


def test_waiting_for_a_place_is_no_part_of_how_long_a_picture_takes() -> None:
    gateway = Gateway("a")
    for number in range(4):
        course = gateway.request(100.0 * number)
        attempt = course.start(100.0 * number)
        assert attempt is not None
        course.succeeded(attempt, 100.0 * number + 90, seconds=20.0)
    assert gateway.watch.quantile(SHAPE, 0.5, A) == pytest.approx(20.0, rel=0.06)
    several = gateway.request(500.0)
    attempt = several.start(500.0)
    assert attempt is not None
    several.succeeded(attempt, 900.0, pictures=4)
    assert gateway.watch.quantile(SHAPE, 0.99, A) == pytest.approx(20.0, rel=0.06)


def test_other_thresholds_take_effect_at_once() -> None:
    gateway = Gateway()
    gateway.play(0.0, [CLEAR, None])
    gateway.watch.reconfigured(policy(breaker={"consecutive_failures": 2}).breaker)
    gateway.play(2.0, [CLEAR, None])
    assert gateway.watch.standing(A, SHAPE, 4.0).state is State.OPEN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Wishes()),
        ("", Wishes()),
        ("google, azure", Wishes(("google", "azure"))),
        ("-azure", Wishes((), frozenset({"azure"}))),
        ("google,-azure, google", Wishes(("google",), frozenset({"azure"}))),
    ],
)
def test_wishes_are_read(text: str | None, expected: Wishes) -> None:
    assert read_wishes(text, ["prefer", "exclude"], ["google", "azure"]) == expected


@pytest.mark.parametrize(
    ("text", "allowed", "error"),
    [
        ("google", ["exclude"], Forbidden),
        ("-google", ["prefer"], Forbidden),
        ("nobody", ["prefer"], InvalidRequest),
        ("google;q=1", ["prefer"], InvalidRequest),
        (",".join(["google"] * 17), ["prefer"], InvalidRequest),
    ],
)
def test_wishes_that_are_not_allowed_or_not_understood_are_refused(
    text: str, allowed: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_wishes(text, allowed, ["google"])


def test_a_drill_is_a_failure_by_kind_or_by_certainty() -> None:
    drill = read_drill("a=overloaded, b=maybe_accepted,c=timeout, server@2", True, "abcd")
    assert drill.failure("a", 1) == Failure(Kind.OVERLOADED, Certainty.REJECTED)
    assert drill.failure("b", 1) == Failure(Kind.SERVER, Certainty.MAYBE_ACCEPTED)
    assert drill.failure("c", 3) == Failure(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)
    assert drill.failure("d", 1) is None
    assert drill.failure("d", 2) == Failure(Kind.SERVER, Certainty.FAILED)
    assert read_drill(None, False, "abc").failure("a", 1) is None


@pytest.mark.parametrize(
    ("text", "allowed", "error"),
    [
        ("a=overloaded", False, Forbidden),
        ("x=overloaded", True, InvalidRequest),
        ("a=503", True, InvalidRequest),
        ("a", True, InvalidRequest),
        ("timeout@0", True, InvalidRequest),
        ("timeout@11", True, InvalidRequest),
        ("soon@1", True, InvalidRequest),
    ],
)
def test_a_drill_that_is_not_allowed_or_not_understood_is_refused(
    text: str, allowed: bool, error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_drill(text, allowed, "abc")
