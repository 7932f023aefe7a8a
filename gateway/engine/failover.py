"""One request through its targets::

order      who comes first now, who is left alone                    (planning, routing/selection)
admit      room for the next candidate's calls, or a cheaper one     (admission)
attempt    its calls                                                 (attempts)
decide     the next target, the same once more, or the end           (routing/course)
book       each failed call, with what follows it and why            (books)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol, TypeVar

import structlog

from gateway.engine import failures, incidents
from gateway.engine.admission import Admission, Admissions
from gateway.engine.attempts import Failure, Tried, Turn
from gateway.engine.books import Books
from gateway.engine.conversions import Conversions
from gateway.engine.drilled import Drilled
from gateway.engine.job import Job
from gateway.engine.masks import with_mask
from gateway.engine.planning import Planning
from gateway.engine.quote import quote
from gateway.engine.redrawing import Redrawing
from gateway.engine.running import Draining, Running
from gateway.engine.upright import with_upright_pictures
from gateway.engine.upstreams import TurnedAway, Upstreams
from gateway.errors import GatewayError, RateLimited, SpendLimitReached, Unavailable
from gateway.images.amounts import Charge
from gateway.images.estimates import Estimates
from gateway.images.fitted import Fitted
from gateway.images.fitting import fit
from gateway.quota.outcomes import End
from gateway.routing.course import Attempt, Budgets, Course
from gateway.routing.decision import ANSWERED_IN_PART, OWN_FAILURE, WORTHWHILE, Because, Decision, Step
from gateway.routing.failure import Failure as Seen
from gateway.routing.plan import Candidate
from gateway.routing.policy import Policy
from gateway.routing.selection import Order, Ranked
from gateway.routing.watch import Watch
from providers.base import ProviderError


class Counted(Protocol):
    """An answer that says how many pictures it holds."""

    @property
    def images(self) -> int: ...


T = TypeVar("T", bound=Counted)
_log = structlog.get_logger("imagegate.engine")

Attempting = Callable[[Sequence[Admission], Turn], Awaitable[Tried[T]]]


def _always() -> bool:
    return True


class Failover:
    """One per process."""

    def __init__(
        self,
        planning: Planning,
        admissions: Admissions,
        books: Books,
        conversions: Conversions,
        upstreams: Upstreams,
        running: Running,
        *,
        policy: Policy,
        budgets: Budgets,
        watch: Watch,
        estimates: Estimates,
    ) -> None:
        self._planning = planning
        self._admissions = admissions
        self._books = books
        self._conversions = conversions
        self._upstreams = upstreams
        self._running = running
        self._policy = policy
        self._watch = watch
        self._estimates = estimates
        self._budgets = budgets

    async def through(
        self, job: Job, attempting: Attempting[T], may_follow: Callable[[], bool] = _always
    ) -> Tried[T]:
        """What the first target brought that brought anything: all its calls, or some of them. ``may_follow``
        says whether another target may still be tried (of a stream nothing has reached the client).

        Raises :class:`GatewayError`: the first failure, unless a later one leaves it open whether money was
        spent. Every attempt is in the books then.
        """
        course = await self._course(job)
        attempt = course.start(perf_counter())
        if attempt is None:
            raise self._nobody(job, course.order)
        shown: GatewayError | None = None
        ended: list[End] = []
        while attempt is not None:
            candidate = job.planned.candidates[attempt.ranked.contender.index]
            try:
                if all(failed.is_our_own for failed in course.failures):
                    self._running.admit()  # what was sent once is seen to its end
                ready = await self._prepared(job, candidate)
                admissions = await self._admissions.admit(job, ready, ended)
            except GatewayError as refused:
                shown = _shown_of(shown, refused, failed=bool(course.failures))
                attempt = self._instead(job, course, attempt, candidate, refused)
                continue
            except BaseException:
                course.not_sent(attempt, perf_counter())
                await self._books.move(*ended)
                raise
            charged = len(job.charges)
            tried = await attempting(admissions, Turn(attempt, len(course.attempts)))
            if tried.answers:
                await self._answered(job, course, attempt, tried)
                _account(course, attempt, job.charges[charged:])
                return await self._filled(job, course, tried, attempting)
            decision = self._decided(job, course, attempt, tried, may_follow())
            ended = await self._booked(job, tried, decision)
            _account(course, attempt, job.charges[charged:])
            told = _told(job, tried.decisive)
            shown = (
                told if shown is None or (decision.step is Step.STOP and not tried.decisive.clear) else shown
            )
            attempt = await self._following(course, decision)
        await self._books.move(*ended)
        assert shown is not None
        if course.failures and course.client_may_retry is False:
            shown.retryable = False
        raise shown

    async def _filled(self, job: Job, course: Course, tried: Tried[T], attempting: Attempting[T]) -> Tried[T]:
        """With the pictures that it lacks from another target, where the policy says so, the retry budget
        has room, and that target makes them alike. What goes wrong with that costs the client nothing."""
        missing = job.call.n - sum(answer.images for answer in tried.answers)
        first = job.served
        if missing <= 0 or not self._policy.fill_missing or job.call.stream or first is None:
            return tried
        found: dict[int, Fitted] = {}

        def is_alike(other: Ranked) -> bool:
            index = other.contender.index
            fitted = fit(job.call.changed({"n": missing}), job.planned.candidates[index].target.entry)
            if not isinstance(fitted, Fitted):
                return False
            found[index] = fitted
            return fitted.finish == first.fitted.finish and fitted.size.sent == first.fitted.size.sent

        attempt = course.to_fill(perf_counter(), is_alike)
        if attempt is None:
            return tried
        index = attempt.ranked.contender.index
        candidate = Candidate(job.planned.candidates[index].target, found[index])
        charged = len(job.charges)
        try:
            ready = await self._prepared(job, candidate)
            admissions = await self._admissions.admit(job, ready)
        except GatewayError:
            course.not_sent(attempt, perf_counter())
            return tried
        more = await attempting(admissions, Turn(attempt, len(course.attempts)))
        job.served = first
        if more.answers:
            await self._answered(job, course, attempt, more)
        else:
            decision = replace(self._decided(job, course, attempt, more, False), because=Because.PARTIAL)
            await self._books.move(*await self._booked(job, more, decision))
        _account(course, attempt, job.charges[charged:])
        return Tried([*tried.answers, *more.answers], [*tried.failures, *more.failures])

    async def _course(self, job: Job) -> Course:
        """Waits where the one target there is only rests for a moment. Raises 503 ``no_healthy_provider``."""
        while True:
            now = perf_counter()
            found = self._planning.order(job.planned, now)
            if found.ranked:
                break
            wait = found.wait(now)
            if wait is None or wait + WORTHWHILE > job.remaining:
                raise self._nobody(job, found)
            await self._running.pause(max(wait, 0.01))
        return Course(found, self._policy, self._watch, self._budgets, job.deadline, self._planning.dice)

    def _nobody(self, job: Job, found: Order) -> Unavailable:
        now = perf_counter()
        incidents.nobody_healthy(job, found)
        return Unavailable(
            f"No provider of '{job.model.name}' can be called right now: each of them has failed too often or"
            " asked to be left alone for a while. Nothing was sent and nothing is charged.",
            code="no_healthy_provider",
            retry_after=1.0 if found.soonest is None else max(found.soonest - now, 0.0),
            retryable=True,
        )

    async def _prepared(self, job: Job, candidate: Candidate) -> Candidate:
        if not job.call.images:
            return candidate
        redrawing = Redrawing(self._conversions, job.facts.uploads, job.deadline)
        return await with_mask(await with_upright_pictures(candidate, redrawing), redrawing)

    def _instead(
        self, job: Job, course: Course, attempt: Attempt, candidate: Candidate, refused: GatewayError
    ) -> Attempt | None:
        """What is tried in the place of an attempt that was not admitted: a cheaper target where the money
        does not suffice, any other where the price is not known here; None: it ends."""
        now = perf_counter()
        if refused.code == "price_unknown":
            return course.instead(attempt, now, lambda _: True)
        if not isinstance(refused, SpendLimitReached) or self._policy.over_budget == "stop":
            course.not_sent(attempt, now)
            return None
        most = self._most(candidate)

        def is_cheaper(other: Ranked) -> bool:
            price = self._most(job.planned.candidates[other.contender.index])
            return most is not None and price is not None and price < most

        following = course.instead(attempt, now, is_cheaper)
        if following is not None:
            job.downgraded = True
            incidents.plan_trimmed(job, candidate, following)
        return following

    def _most(self, candidate: Candidate) -> int | None:
        """What its calls would hold, in nano-dollars."""
        total = quote(candidate, datetime.now(UTC).date(), self._estimates.of).total
        return None if total is None else total.high

    async def _answered(self, job: Job, course: Course, attempt: Attempt, tried: Tried[T]) -> None:
        now, calls = perf_counter(), len(tried.answers) + len(tried.failures)
        course.succeeded(attempt, now, pictures=job.call.n if calls == 1 else 0)
        incidents.health_changed(course, attempt)
        if tried.failures:
            await self._books.move(*await self._booked(job, tried, ANSWERED_IN_PART))

    def _decided(
        self, job: Job, course: Course, attempt: Attempt, tried: Tried[T], may_follow: bool
    ) -> Decision:
        now, error = perf_counter(), tried.decisive.error
        if not isinstance(error, ProviderError):
            # The provider did its part, or we do not know: nothing is learnt of it.
            course.not_sent(attempt, now)
            return OWN_FAILURE
        seen = Seen.of(error)
        other_key = self._upstreams[attempt.ranked.contender.provider].has_other_key(error.kind)
        decision = course.failed(
            attempt,
            seen,
            now,
            other_key=other_key,
            drill=isinstance(error, Drilled),
        )
        incidents.decided(job, course, attempt, decision)
        return decision if may_follow else Decision(Step.STOP, Because.RELAYED)

    async def _booked(self, job: Job, tried: Tried[T], decision: Decision) -> list[End]:
        for failed in tried.failures:
            incidents.attempt_failed(failed, decision)
        return await self._books.failed(job, tried.failures, decision)

    async def _following(self, course: Course, decision: Decision) -> Attempt | None:
        if decision.step is Step.STOP:
            return None
        if decision.wait:
            await asyncio.sleep(decision.wait)
        return course.go_on(perf_counter())


def _shown_of(shown: GatewayError | None, refused: GatewayError, *, failed: bool) -> GatewayError:
    """What the client is told where this was the last that could be done. ``failed``: an attempt was made."""
    if shown is None:
        return refused
    if failed and isinstance(refused, SpendLimitReached | RateLimited):
        return failures.no_second_hold(shown)
    return shown


def _account(course: Course, attempt: Attempt, charges: Sequence[Charge]) -> None:
    """What the attempt cost, for the retry budget; nothing is told while that is not known."""
    if all(charge.cost is not None for charge in charges):
        course.cost(attempt, sum(charge.cost or 0 for charge in charges), perf_counter())


def _told(job: Job, failure: Failure) -> GatewayError:
    """The failure in the client's words."""
    if isinstance(failure.error, TurnedAway):
        return Draining()
    if isinstance(failure.error, ProviderError):
        return failures.to_client(failure.error, failure.admission.target.provider, job.facts.request_id)
    return failure.error if isinstance(failure.error, GatewayError) else broken(job)


def broken(job: Job) -> GatewayError:
    return failures.gateway_failed(job.facts.request_id)
