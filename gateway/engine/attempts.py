"""The upstream calls of one candidate, side by side: each a task and a line in the books of its own.

The call to the provider runs in a task of its own: a client that leaves does not cancel paid work, and an
answer that comes after its time is still read and settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Generic, TypeVar

import structlog

from config.routing import LATE_SECONDS
from gateway.engine import failures
from gateway.engine.admission import Admission
from gateway.engine.billed import billed
from gateway.engine.books import Books
from gateway.engine.dispatch import dispatch
from gateway.engine.drilled import Drilled
from gateway.engine.event_finishing import EventFinishing
from gateway.engine.job import Job
from gateway.engine.outlet import Outlet
from gateway.engine.pictures import Pictures
from gateway.engine.running import Running
from gateway.engine.served import Served
from gateway.engine.streaming import Streamed, relay_stream
from gateway.engine.told import AttemptsTold
from gateway.engine.unfinished import spool_failed
from gateway.engine.upstreams import Upstreams
from gateway.engine.whole import Whole, receive_whole
from gateway.errors import GatewayError
from gateway.media.spool import SpoolRoom
from gateway.routing.course import Attempt
from gateway.routing.watch import Watch
from providers.base import Certainty, Kind, ProviderError

T = TypeVar("T")
_log = structlog.get_logger("imagegate.engine")

LATE = LATE_SECONDS
"""Seconds after the deadline for which an answer is still awaited, to be settled exactly."""

WORTHWHILE = 1.0
"""Seconds that must be left of an attempt's time for a call to be sent at all."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt of a request's course; ``number`` counts them from 1."""

    attempt: Attempt
    number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought nothing. Nothing is written of it yet, but where ``error`` is our own (a
    :class:`GatewayError`), or a defect: what it cost is in the ledger then."""

    admission: Admission
    error: Exception
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def clear(self) -> bool:
        """Whether it clearly made nothing."""
        return isinstance(self.error, ProviderError) and failures.is_clear(self.error)


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """What came of one candidate's calls, in the order of its batches."""

    answers: Sequence[T]
    failures: Sequence[Failure]

    @property
    def decisive(self) -> Failure:
        """The failure that decides what happens next where nothing came: one that leaves it open whether
        money was spent, else the first."""
        return next((failure for failure in self.failures if not failure.clear), self.failures[0])


class Attempts:
    """Makes them. One per process."""

    def __init__(
        self,
        upstreams: Upstreams,
        room: SpoolRoom,
        pictures: Pictures,
        books: Books,
        running: Running,
        watch: Watch,
        told: AttemptsTold,
    ) -> None:
        self._told = told
        self._upstreams = upstreams
        self._room = room
        self._pictures = pictures
        self._books = books
        self._running = running
        self._watch = watch

    async def whole(self, job: Job, admissions: Sequence[Admission], turn: Turn) -> Tried[Whole]:
        """Answers in one piece, verified and settled. Whoever takes them closes their spools."""
        return _told_apart(
            await _side_by_side(
                [self._outcome(job, each, self._whole(job, each, turn)) for each in admissions]
            )
        )

    async def streamed(
        self, job: Job, admissions: Sequence[Admission], turn: Turn, outlet: Outlet
    ) -> Tried[Streamed]:
        """An answer relayed into ``outlet`` as it comes, and settled. Streams are of one call."""
        (admission,) = admissions
        return _told_apart(
            [await self._outcome(job, admission, self._streamed(job, admission, turn, outlet))]
        )

    async def _outcome(self, job: Job, admission: Admission, attempt: Awaitable[T]) -> T | Failure:
        """It never raises."""
        with self._told.attempt(job, admission) as ending:
            outcome = await self._ended(job, admission, attempt)
            if isinstance(outcome, Failure):
                ending.failed(outcome.error)
            return outcome

    async def _ended(self, job: Job, admission: Admission, attempt: Awaitable[T]) -> T | Failure:
        try:
            return await attempt
        except ProviderError as error:
            return _failure(admission, error)
        except GatewayError as error:
            return Failure(admission, error)
        except Exception as error:
            _log.exception("attempt_broke", attempt_id=admission.attempt.attempt_id)
            await self._books.lost(job, admission)
            return Failure(admission, error)

    async def _whole(self, job: Job, admission: Admission, turn: Turn) -> Whole:
        """When its time is over the attempt has failed, while the answer is still awaited."""
        begun, seconds = perf_counter(), _seconds(job, turn)
        call = self._running.start(self._call(job, admission, turn, seconds))
        try:
            await asyncio.wait({call}, timeout=seconds)
            if not call.done():
                job.late.expect()
                served = job.served
                call.add_done_callback(
                    lambda done: self._running.start(self._late(job, admission, served, done))
                )
                raise ProviderError(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, "no answer came in time.")
            whole, upstream_request_id = call.result()
        finally:
            job.heard(begun)
        try:
            await self._books.succeeded(job, admission, billed(admission, whole), upstream_request_id)
        except BaseException:
            whole.spool.close()
            raise
        if whole.lost is not None:
            whole.spool.close()
            raise spool_failed(job.facts.request_id)
        return whole

    async def _call(
        self, job: Job, admission: Admission, turn: Turn, seconds: float
    ) -> tuple[Whole, str | None]:
        self._drill(job, turn)
        begun = perf_counter()
        upstream = self._upstreams[admission.target.provider]
        async with upstream.call(*self._waiting(turn, seconds)) as provider:
            result = await dispatch(
                provider,
                admission.call,
                admission.target,
                admission.leave,
                job.remaining + LATE,
                patience=_left(_patience(seconds), begun),
            )
            self._heard(turn, result.headers)
            whole = await receive_whole(
                result, self._room, provider=admission.target.provider, prompt=admission.call.prompt
            )
            return whole, result.upstream_request_id

    async def _late(
        self,
        job: Job,
        admission: Admission,
        served: Served | None,
        call: asyncio.Task[tuple[Whole, str | None]],
    ) -> None:
        whole: Whole | None = None
        try:
            whole = await self._late_booked(job, admission, call)
        finally:
            await job.late.ended(served, whole)

    async def _late_booked(
        self, job: Job, admission: Admission, call: asyncio.Task[tuple[Whole, str | None]]
    ) -> Whole | None:
        """What became of a call that took longer than its attempt: settled exactly, or released where it
        clearly made nothing; else it stays unknown, as it was booked."""
        try:
            whole, upstream_request_id = await call
        except ProviderError as error:
            await self._books.move(*await self._books.failed(job, [_failure(admission, error)], late=True))
            return None
        except Exception:
            _log.exception("late_answer_failed", attempt_id=admission.attempt.attempt_id)
            return None
        _log.info("late_answer", attempt_id=admission.attempt.attempt_id, images=whole.images)
        try:
            await self._books.succeeded(
                job, admission, billed(admission, whole), upstream_request_id, late=True
            )
        except BaseException:
            whole.spool.close()
            raise
        return whole

    async def _streamed(self, job: Job, admission: Admission, turn: Turn, outlet: Outlet) -> Streamed:
        finishing = EventFinishing(self._pictures, job.order(), job.reporting)
        begun, seconds = perf_counter(), _seconds(job, turn)
        upstream = self._upstreams[admission.target.provider]
        try:
            self._drill(job, turn)
            async with upstream.call(*self._waiting(turn, seconds)) as provider:
                result = await dispatch(
                    provider,
                    admission.call,
                    admission.target,
                    admission.leave,
                    _left(seconds, begun),
                    patience=_left(_patience(seconds), begun),
                )
                self._heard(turn, result.headers)
                streamed = await relay_stream(
                    result, self._room, outlet, admission.call, admission.target.provider, finishing
                )
        finally:
            job.heard(begun)
        job.delivered(streamed.pictures, list(streamed.adjustments))
        await self._books.succeeded(job, admission, billed(admission, streamed), result.upstream_request_id)
        if streamed.failure is not None:
            raise streamed.failure
        return streamed

    def _drill(self, job: Job, turn: Turn) -> None:
        """Fails in place of the call, where the caller wants to see that."""
        provider = turn.attempt.ranked.contender.provider
        drilled = job.facts.drill.failure(provider, turn.number)
        if drilled is not None:
            raise Drilled(drilled, provider)

    def _waiting(self, turn: Turn, seconds: float) -> tuple[float | None, float]:
        """What a slow picture of this shape takes, and how long its call may wait for a place. Nobody pays
        for a call that waited until its client had been told of the time-out."""
        contender = turn.attempt.ranked.contender
        p95 = self._watch.quantile(contender.shape, 0.95, contender.name)
        return p95, _patience(seconds)

    def _heard(self, turn: Turn, headers: Mapping[str, str]) -> None:
        """What the answer says has run out there; with several keys that is one key's affair."""
        contender = turn.attempt.ranked.contender
        if headers and self._upstreams[contender.provider].has_one_key:
            self._watch.heard(contender.name, headers, perf_counter())


def _failure(admission: Admission, error: ProviderError) -> Failure:
    """By the terms of the account as they were at admission."""
    error.billed = failures.billed_by(admission.target.billed_on_error, error)
    return Failure(admission, error)


def _seconds(job: Job, turn: Turn) -> float:
    return min(turn.attempt.seconds, job.remaining)


def _patience(seconds: float) -> float:
    return max(seconds - WORTHWHILE, seconds / 2)


def _left(seconds: float, begun: float) -> float:
    """Of so many seconds since then: a wait for a place comes out of the call's own time."""
    return seconds - (perf_counter() - begun)


async def _side_by_side(attempts: Sequence[Awaitable[T]]) -> list[T]:
    if len(attempts) == 1:
        return [await attempts[0]]
    return await asyncio.gather(*attempts)


def _told_apart(outcomes: Sequence[T | Failure]) -> Tried[T]:
    answers = [each for each in outcomes if not isinstance(each, Failure)]
    return Tried(answers, [each for each in outcomes if isinstance(each, Failure)])
