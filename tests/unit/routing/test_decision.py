"""What follows a failure: the table of certainties, and the bounds on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.decision import Because, Decision, Situation, Step, client_may_retry, decide
from gateway.routing.failure import DEFAULTS, Failure, OnFailure
from providers.base import Certainty, Kind, ProviderError

USUAL = OnFailure()
NEXT = OnFailure({"maybe_accepted": "next"})
FIRST_OF_THREE = Situation(attempts=1, max_attempts=3, others=2, alone=False, remaining=200.0)
ALONE = Situation(attempts=1, max_attempts=3, others=0, alone=True, remaining=200.0)


def failure(kind: str, certainty: str, **more: object) -> Failure:
    return Failure(Kind(kind), Certainty(certainty), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "certainty", "elsewhere", "alone"),
    [
        ("server", "not_sent", "next", "same_again"),
        ("timeout", "not_sent", "next", "same_again"),
        ("auth", "rejected", "next", "stop"),
        ("not_found", "rejected", "next", "stop"),
        ("invalid", "rejected", "next", "stop"),
        ("throttled", "rejected", "next", "same_again"),
        ("overloaded", "rejected", "next", "same_again"),
        ("overloaded", "failed", "next", "same_again"),
        ("server", "failed", "next", "same_again"),
        ("moderation", "rejected", "stop", "stop"),
        ("moderation", "failed", "stop", "stop"),
        ("server", "maybe_accepted", "stop", "stop"),
        ("timeout", "maybe_accepted", "stop", "stop"),
        ("overloaded", "maybe_accepted", "stop", "stop"),
        ("empty", "answered", "stop", "stop"),
        ("bad_payload", "answered", "stop", "stop"),
        ("server", "answered", "stop", "stop"),
    ],
)
def test_the_table_of_failures(kind: str, certainty: str, elsewhere: str, alone: str) -> None:
    assert decide(failure(kind, certainty), USUAL, FIRST_OF_THREE).step == elsewhere
    assert decide(failure(kind, certainty), USUAL, ALONE).step == alone


def test_an_unclear_failure_goes_on_only_where_the_owner_says_so() -> None:
    unclear = failure("server", "maybe_accepted")
    assert decide(unclear, USUAL, FIRST_OF_THREE) == Decision(Step.STOP, Because.POLICY)
    assert decide(unclear, NEXT, FIRST_OF_THREE).step is Step.NEXT
    assert decide(unclear, NEXT, ALONE).step is Step.SAME_AGAIN


def test_a_503_that_a_stranger_wrote_is_unclear_whatever_its_kind() -> None:
    assert USUAL.after(Kind.OVERLOADED, Certainty.MAYBE_ACCEPTED) == "stop"
    assert OnFailure({"overloaded": "next"}).after(Kind.OVERLOADED, Certainty.MAYBE_ACCEPTED) == "next"


@pytest.mark.parametrize(
    ("written", "kind", "certainty", "expected"),
    [
        ({"timeout": "next"}, "timeout", "maybe_accepted", "next"),
        ({"timeout": "stop", "not_sent": "next"}, "timeout", "not_sent", "stop"),
        ({"rejected": "next"}, "moderation", "rejected", "stop"),
        ({"maybe_accepted": "next"}, "moderation", "maybe_accepted", "stop"),
        ({"moderation": "next"}, "moderation", "rejected", "next"),
        ({"answered": "next"}, "empty", "answered", "stop"),
        ({"empty": "next"}, "empty", "answered", "next"),
        ({"failed": "stop"}, "server", "failed", "stop"),
        ({"rejected": "stop"}, "not_found", "rejected", "stop"),
    ],
)
def test_a_kind_wins_over_a_certainty(
    written: dict[str, str], kind: str, certainty: str, expected: str
) -> None:
    policy = OnFailure(written)  # type: ignore[arg-type]
    assert policy.after(Kind(kind), Certainty(certainty)) == expected


def test_every_certainty_has_a_default() -> None:
    assert set(DEFAULTS) >= {certainty.value for certainty in Certainty}


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"attempts": 3}, Because.ATTEMPTS),
        ({"remaining": 5.9}, Because.DEADLINE),
        ({"count_left": False}, Because.RETRY_COUNT),
        ({"others": 0}, Because.TRIED_ALL),
    ],
)
def test_what_bounds_the_next_attempt(change: dict[str, object], because: Because) -> None:
    at = replace(FIRST_OF_THREE, **change)  # type: ignore[arg-type]
    assert decide(failure("server", "failed"), USUAL, at) == Decision(Step.STOP, because)


@pytest.mark.parametrize(
    ("kind", "certainty", "billed", "paid_before", "bounded"),
    [
        ("server", "failed", None, False, False),
        ("server", "failed", "no", False, False),
        ("server", "failed", "unknown", False, True),
        ("server", "failed", "yes", False, True),
        ("server", "not_sent", None, True, True),
        ("server", "maybe_accepted", None, False, True),
        ("bad_payload", "answered", None, False, True),
    ],
)
def test_dollars_bound_everything_after_an_attempt_that_may_be_paid(
    kind: str, certainty: str, billed: str | None, paid_before: bool, bounded: bool
) -> None:
    at = Situation(1, 3, 2, False, 200.0, paid_before=paid_before, money_left=False)
    policy = OnFailure({"maybe_accepted": "next", "bad_payload": "next"})
    found = decide(failure(kind, certainty, billed=billed), policy, at)
    assert (found.because is Because.RETRY_SPEND) == bounded


@pytest.mark.parametrize(
    ("retry_after", "remaining", "expected"),
    [(3.0, 200.0, 3.0), (60.0, 66.0, 60.0), (60.0, 65.0, None), (61.0, 280.0, None), (0.0, 200.0, 0.0)],
)
def test_the_one_target_is_waited_for_where_it_says_how_long(
    retry_after: float, remaining: float, expected: float | None
) -> None:
    at = Situation(1, 3, 0, True, remaining)
    found = decide(failure("throttled", "rejected", retry_after=retry_after), USUAL, at)
    if expected is None:
        assert found == Decision(Step.STOP, Because.DEADLINE)
    else:
        assert (found.step, found.wait) == (Step.SAME_AGAIN, expected)


def test_the_one_target_is_asked_once_more_and_no_more() -> None:
    second = replace(ALONE, attempts=2)
    assert decide(failure("server", "failed"), USUAL, second) == Decision(Step.STOP, Because.TRIED_ALL)


def test_another_target_is_never_waited_for() -> None:
    assert decide(failure("throttled", "rejected", retry_after=300.0), USUAL, FIRST_OF_THREE).wait == 0


@pytest.mark.parametrize(
    ("details", "billed", "paid"),
    [
        (None, None, True),
        ({"moderation_stage": "output"}, None, True),
        ({"moderation_stage": "input"}, None, False),
        (None, "no", False),
    ],
)
def test_a_safety_refusal_may_be_paid_for_unless_it_came_before_any_work(
    details: dict[str, object] | None, billed: str | None, paid: bool
) -> None:
    error = ProviderError(
        Kind.MODERATION, Certainty.REJECTED, "no", details=details, billed=billed, retry_after=3.0
    )
    assert Failure.of(error).may_be_paid is paid
    assert Failure.of(error).retry_after == 3.0


CLEAR = failure("server", "failed")
UNCLEAR = failure("server", "maybe_accepted")
ENDED = Decision(Step.STOP, Because.TRIED_ALL)
SPENT = Decision(Step.STOP, Because.RETRY_COUNT)


@pytest.mark.parametrize(
    ("failures", "alone", "ended", "said"),
    [
        ([CLEAR, CLEAR], True, ENDED, None),
        ([CLEAR], True, SPENT, None),
        ([CLEAR, UNCLEAR], True, ENDED, False),
        ([UNCLEAR], False, ENDED, False),
        ([CLEAR, CLEAR], False, ENDED, False),
        ([CLEAR], False, SPENT, False),
        ([CLEAR], False, Decision(Step.STOP, Because.POLICY), None),
        ([failure("server", "failed", billed="unknown")], True, ENDED, False),
    ],
)
def test_a_client_is_told_not_to_try_again_where_that_would_multiply_calls(
    failures: list[Failure], alone: bool, ended: Decision, said: bool | None
) -> None:
    assert client_may_retry(failures, alone=alone, ended=ended) is said


failures = st.builds(
    Failure,
    kind=st.sampled_from(Kind),
    certainty=st.sampled_from(Certainty),
    retry_after=st.none() | st.floats(0, 10_000),
    billed=st.none() | st.sampled_from(["yes", "no", "unknown"]),
)
situations = st.builds(
    Situation,
    attempts=st.integers(1, 12),
    max_attempts=st.integers(1, 10),
    others=st.integers(0, 3),
    alone=st.just(False),
    remaining=st.floats(-10, 600),
    paid_before=st.booleans(),
    count_left=st.booleans(),
    money_left=st.booleans(),
    jitter=st.floats(0, 1),
)
policies = st.builds(
    OnFailure, st.dictionaries(st.sampled_from([*Kind, *Certainty]), st.sampled_from(["next", "stop"]))
)


@given(failures, situations, policies, st.booleans())
def test_nothing_goes_on_past_a_bound(failed: Failure, at: Situation, policy: OnFailure, alone: bool) -> None:
    at = replace(at, alone=alone and at.others == 0)
    found = decide(failed, policy, at)
    if found.step is Step.STOP:
        return
    assert policy.after(failed.kind, failed.certainty) == "next"
    assert at.attempts < at.max_attempts
    assert at.remaining - found.wait >= 6
    assert at.count_left
    assert at.money_left or not (at.paid_before or failed.may_be_paid)
    assert (found.step is Step.NEXT) == (at.others > 0)
