"""What follows a failed attempt: the next target, the same one once more, or the end. One pure function.

Which failures may be repeated is the owner's word (``routing.on_failure``); how often is bounded by the
attempts of a request, its deadline and the retry budgets; and where a plan has one target only, that one is
asked once more, unless the failure is one that asking again cannot cure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.routing.failure import Failure, OnFailure
from providers.base import Kind

WORTHWHILE = 6.0
"""Seconds that must be left for another attempt: the five that are kept back at its end, and one."""

LONGEST_WAIT = 60.0
"""Seconds that a request waits for the one target it has; longer is the client's to decide."""

_INCURABLE = frozenset({Kind.AUTH, Kind.INVALID, Kind.NOT_FOUND, Kind.MODERATION})
"""What the same target would say again."""

_BREATH = 0.25
"""Seconds before the same target is asked again, half of them at random."""


class Step(StrEnum):
    NEXT = "next"
    SAME_AGAIN = "same_again"
    STOP = "stop"


class Because(StrEnum):
    """Why, in a word for programs; logs and explanations show it."""

    ELSEWHERE = "another_target"
    ONCE_MORE = "no_other_target"
    OTHER_KEY = "another_key"
    POLICY = "on_failure"
    ATTEMPTS = "max_attempts"
    DEADLINE = "deadline"
    TRIED_ALL = "all_tried"
    INCURABLE = "same_answer_expected"
    RETRY_COUNT = "retry_count_spent"
    RETRY_SPEND = "retry_spend_spent"
    PARTIAL = "answered_in_part"
    RELAYED = "already_relayed"
    OWN = "own_failure"


@dataclass(frozen=True, slots=True)
class Decision:
    """``wait`` is in seconds and comes before the step."""

    step: Step
    because: Because
    wait: float = 0.0


ANSWERED_IN_PART = Decision(Step.STOP, Because.PARTIAL)
"""Of a call beside which others brought pictures."""

OWN_FAILURE = Decision(Step.STOP, Because.OWN)
"""The provider did its part, and the gateway could not deliver it."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a request stands when one of its attempts has just failed.

    ``attempts`` are those made, the failed one included. ``others`` are the targets of its plan that were not
    tried yet, ``alone`` says that the plan never had but one. ``remaining`` seconds are left to the deadline.
    ``paid_before``: an earlier attempt may have been paid for. ``count_left`` and ``money_left``: what the
    retry budgets say of the step that would follow. ``other_key``: the account has another key, which was
    neither refused nor limited. ``jitter`` is any number from 0 to 1.
    """

    attempts: int
    max_attempts: int
    others: int
    alone: bool
    remaining: float
    paid_before: bool = False
    count_left: bool = True
    money_left: bool = True
    other_key: bool = False
    jitter: float = 0.5


def decide(failure: Failure, policy: OnFailure, at: Situation) -> Decision:
    if policy.after(failure.kind, failure.certainty) == "stop":
        return Decision(Step.STOP, Because.POLICY)
    if at.other_key and at.attempts < at.max_attempts and at.remaining >= WORTHWHILE:
        return Decision(Step.SAME_AGAIN, Because.OTHER_KEY)
    if at.others == 0 and (not at.alone or at.attempts > 1):
        return Decision(Step.STOP, Because.TRIED_ALL)
    if at.attempts >= at.max_attempts:
        return Decision(Step.STOP, Because.ATTEMPTS)
    if at.alone and failure.kind in _INCURABLE:
        return Decision(Step.STOP, Because.INCURABLE)
    wait = _wait(failure, at.jitter) if at.alone else 0.0
    if wait > LONGEST_WAIT or at.remaining - wait < WORTHWHILE:
        return Decision(Step.STOP, Because.DEADLINE)
    if not at.count_left:
        return Decision(Step.STOP, Because.RETRY_COUNT)
    if (at.paid_before or failure.may_be_paid) and not at.money_left:
        return Decision(Step.STOP, Because.RETRY_SPEND)
    if at.alone:
        return Decision(Step.SAME_AGAIN, Because.ONCE_MORE, wait)
    return Decision(Step.NEXT, Because.ELSEWHERE)


def _wait(failure: Failure, jitter: float) -> float:
    if failure.retry_after is not None:
        return failure.retry_after
    return _BREATH * (1 + jitter)


def client_may_retry(failures: Sequence[Failure], *, alone: bool, ended: Decision) -> bool | None:
    """``x-should-retry`` of a request that failed with ``failures``, in their order; None: not said, so that
    the SDK's own rule for the status holds.

    A client that tries again after targets were tried in turn, or after money may have been spent, multiplies
    calls. Where one target alone has clearly made nothing, its retry is as good as without a gateway.
    """
    if any(failure.may_be_paid for failure in failures):
        return False
    if alone:
        return None
    went_on = len(failures) > 1
    is_spent = ended.because in (Because.RETRY_COUNT, Because.RETRY_SPEND)
    return False if went_on or is_spent else None
