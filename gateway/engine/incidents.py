"""What is logged and counted of failures and of what followed them, each by its name."""

from __future__ import annotations

import structlog

from gateway.engine import failures
from gateway.engine.attempts import Failure
from gateway.engine.job import Job
from gateway.routing.course import Attempt, Course
from gateway.routing.decision import Because, Decision
from gateway.routing.plan import Candidate
from gateway.routing.selection import Order
from gateway.routing.watch import Change
from gateway.telemetry import meters
from providers.base import ProviderError

_SPENT = frozenset({Because.RETRY_COUNT, Because.RETRY_SPEND})
_log = structlog.get_logger("imagegate.engine")


def nobody_healthy(job: Job, found: Order) -> None:
    states = [f"{out.contender.name}: {out.because} {out.detail}".strip() for out in found.left_out]
    states += [f"{ranked.contender.name}: {ranked.standing.state}" for ranked in found.ranked]
    meters.no_healthy_provider.add(1, {"model": job.model.name})
    _log.warning("no_healthy_provider", request_id=job.facts.request_id, targets=states)


def plan_trimmed(job: Job, candidate: Candidate, following: Attempt) -> None:
    """A target was left out since its price did not fit."""
    target = candidate.target
    meters.plan_trimmed_by_budget.add(1, {"provider": target.provider, "model": job.model.name})
    _log.info(
        "plan_trimmed_by_budget",
        request_id=job.facts.request_id,
        left_out=f"{target.provider}/{target.model}",
        following=following.ranked.contender.name,
    )


def decided(job: Job, course: Course, attempt: Attempt, decision: Decision) -> None:
    """After the end of an attempt: what it did to its target, and whether a retry budget was spent."""
    health_changed(course, attempt)
    if decision.because in _SPENT:
        meters.retry_budget_exhausted.add(1, {"because": decision.because.value})
        _log.warning(
            "retry_budget_exhausted", request_id=job.facts.request_id, because=decision.because.value
        )


def health_changed(course: Course, attempt: Attempt) -> None:
    if course.change is None:
        return
    contender, opened = attempt.ranked.contender, course.change is Change.OPENED
    meters.target_changes.add(1, {"target": contender.name, "to": course.change.value})
    if opened:
        _log.warning("target_opened", target=contender.name, cause=course.failures[-1].kind.value)
    else:
        _log.info("target_closed", target=contender.name)


def attempt_failed(failed: Failure, decision: Decision) -> None:
    error, admission = failed.error, failed.admission
    if not isinstance(error, ProviderError):
        return
    target = admission.target
    meters.attempts_failed.add(
        1,
        {
            "provider": target.provider,
            "kind": error.kind.value,
            "certainty": error.certainty.value,
            "step": decision.step.value,
        },
    )
    if error.kind in failures.OPERATORS:  # the others are in the line of each attempt
        _log.warning(
            "attempt_failed",
            attempt_id=admission.attempt.attempt_id,
            provider=target.provider,
            model=target.model,
            kind=error.kind.value,
            certainty=error.certainty.value,
            said=error.message,
        )
