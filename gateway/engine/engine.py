"""The life of a request, told once::

    admit      what it can cost, room under every limit, a durable row, leave to send   (admission)
    attempt    for each target: the call, its body into a spool, verification           (whole, streaming)
    book       settled, released or unknown: the ledger, then the store of limits       (books)
    deliver    headers with what it cost, then the spool's bytes; the client may have gone
    record     the request's last row

The call to the provider runs in a task of its own: a client that leaves does not cancel paid work, and an
answer that comes after the deadline is still read and settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TypeVar

import structlog

from gateway.caller import Caller
from gateway.engine import failures
from gateway.engine.admission import Admission, Admissions
from gateway.engine.answer import Answer, RequestFacts
from gateway.engine.books import Books
from gateway.engine.dispatch import dispatch
from gateway.engine.job import Job
from gateway.engine.outlet import Outlet
from gateway.engine.running import Running
from gateway.engine.streaming import Streamed, relay_stream
from gateway.engine.whole import Whole, receive_whole
from gateway.errors import GatewayError, InternalError, RateLimited, SpendLimitReached, Unavailable
from gateway.images.auto import resolve_auto
from gateway.images.call import ImageCall
from gateway.images.pricing import Delivered
from gateway.ledger.ledger import Ledger
from gateway.media.spool import SpoolRoom
from gateway.quota.outcomes import End
from gateway.routing.directory import PublicModel
from providers.base import Certainty, Kind, Provider, ProviderError

T = TypeVar("T")
_log = structlog.get_logger("imagegate.engine")

FIRST_BYTE = 15.0
"""Seconds after which a stream's status line goes out even if no event has come yet."""

LATE = 120.0
"""Seconds after the deadline for which an answer is still awaited, to be settled exactly."""

WORTHWHILE = 1.0
"""Seconds that must be left before the deadline for a call to be sent at all."""

AttemptAt = Callable[[Admission], Awaitable[T]]


class Engine:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        ledger: Ledger,
        room: SpoolRoom,
        admissions: Admissions,
        books: Books,
        *,
        deadline: float,
        max_attempts: int,
    ) -> None:
        self._providers = providers
        self._ledger = ledger
        self._room = room
        self._admissions = admissions
        self._books = books
        self._deadline = deadline
        self._max_attempts = max_attempts
        self.running = Running()

    async def run(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Answer:
        """Serve one validated call. Raises :class:`GatewayError`; nothing else is for the client."""
        job = Job(call, model, caller, facts, model.usable, facts.started + self._deadline)
        if model.resolve_auto or (model.resolve_auto is None and self._admissions.spends(job)):
            job.call, _ = resolve_auto(call, model.defaults)
        try:
            if call.stream:
                return await self._streamed(job)
            return await self._taken(self.running.start(self._whole(job)))
        finally:
            job.note()

    async def _taken(self, task: asyncio.Task[Answer]) -> Answer:
        """Wait for the task without owning it: cancelling the waiter leaves the paid call running."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._nobody_took_it)
            raise

    def _nobody_took_it(self, task: asyncio.Task[Answer]) -> None:
        if not task.cancelled() and task.exception() is None:
            self.running.start(_as_coroutine(task.result().delivered(False)))

    async def _whole(self, job: Job) -> Answer:
        try:
            whole = await self._through_targets(job, lambda admission: self._attempt_whole(job, admission))
        except GatewayError:
            raise
        except Exception:
            self._end(job, 500)
            raise

        async def delivered(complete: bool) -> None:
            whole.spool.close()
            self._end(job, 200, client_gone=not complete)

        return Answer(
            200, job.headers(), "application/json", whole.spool.chunks(), whole.spool.size, delivered
        )

    async def _streamed(self, job: Job) -> Answer:
        outlet = Outlet(self._room)
        self.running.start(self._produce(job, outlet))
        try:
            failure = await outlet.opened(FIRST_BYTE)
        except asyncio.CancelledError:
            outlet.close()
            raise
        if failure is not None:
            raise failure

        async def delivered(complete: bool) -> None:
            outlet.close()
            job.note()
            if not complete:
                job.facts.notes["client_gone"] = True

        return Answer(
            200, job.headers(), "text/event-stream; charset=utf-8", outlet.chunks(), None, delivered
        )

    async def _produce(self, job: Job, outlet: Outlet) -> None:
        try:
            await self._through_targets(job, lambda admission: self._attempt_stream(job, admission, outlet))
        except GatewayError as error:
            outlet.fail(error)
        except Exception:
            _log.exception("stream_failed", request_id=job.facts.request_id)
            self._end(job, 500)
            outlet.fail(InternalError(f"The gateway failed. Request ID {job.facts.request_id}."))
        else:
            self._end(job, 200)
            outlet.end()

    async def _through_targets(self, job: Job, attempt_at: AttemptAt[T]) -> T:
        """Try the targets in order while each failure clearly made nothing. The answer to the client is the
        first failure, unless a later one leaves it open whether money was spent."""
        shown: GatewayError | None = None
        ended: list[End] = []
        for target in job.targets[: self._max_attempts]:
            try:
                admission = await self._admissions.admit(job, target, ended)
            except GatewayError as refused:
                # A price that is not known here may be known at the next target; anything else ends it.
                if shown is None:
                    shown = refused
                elif ended and isinstance(refused, SpendLimitReached | RateLimited):
                    shown = failures.no_second_hold(shown)
                if refused.code == "price_unknown":
                    continue
                break
            ended = []
            begun = perf_counter()
            try:
                return await attempt_at(admission)
            except ProviderError as error:
                job.upstream_seconds += perf_counter() - begun
                goes_on = failures.may_continue(error) and job.remaining >= WORTHWHILE
                told = failures.to_client(error, target.provider, job.facts.request_id)
                shown = told if shown is None or not goes_on else shown
                _warn_operator(error, target.provider, target.model)
                ended = [await self._books.failed(job, admission, error)]
                if not goes_on:
                    break
            except Exception as error:
                if not isinstance(error, GatewayError):
                    await self._books.lost(job, admission)
                self._end(job, getattr(error, "status", 500), getattr(error, "code", None))
                raise
        for end in ended:
            await self._books.move(end)
        failure = shown or Unavailable(f"No provider serves '{job.model.name}' right now.")
        self._end(job, failure.status, failure.code)
        raise failure

    async def _attempt_whole(self, job: Job, admission: Admission) -> Whole:
        """One attempt. At the deadline the client is told, while the answer is still awaited."""
        begun = perf_counter()
        call = self.running.start(self._call_whole(job, admission))
        await asyncio.wait({call}, timeout=job.remaining)
        if not call.done():
            call.add_done_callback(lambda done: self.running.start(self._late(job, admission, done)))
            raise ProviderError(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, "no answer came within the deadline.")
        whole, upstream_request_id = call.result()
        job.upstream_seconds += perf_counter() - begun
        try:
            await self._books.succeeded(job, admission, _delivered(job, whole), upstream_request_id)
        except BaseException:
            whole.spool.close()
            raise
        if whole.lost is not None:
            whole.spool.close()
            raise Unavailable(
                f"The picture was made and paid for, but this gateway's disk could not take it. "
                f"Request ID {job.facts.request_id}.",
                code="spool_failed",
                retryable=False,
            )
        return whole

    async def _call_whole(self, job: Job, admission: Admission) -> tuple[Whole, str | None]:
        provider = self._providers[admission.target.provider]
        seconds = job.remaining + LATE
        # Nobody pays for a call that waited for its place until its client had been told of the time-out.
        patience = max(job.remaining - WORTHWHILE, 0.0)
        result = await dispatch(
            provider, job.call, admission.target, admission.leave, seconds, patience=patience
        )
        whole = await receive_whole(
            result, self._room, provider=admission.target.provider, prompt=job.call.prompt
        )
        return whole, result.upstream_request_id

    async def _late(
        self, job: Job, admission: Admission, call: asyncio.Task[tuple[Whole, str | None]]
    ) -> None:
        """What became of a call whose client was told that it took too long: settled exactly, or released
        where it clearly made nothing; else it stays unknown."""
        try:
            whole, upstream_request_id = await call
        except ProviderError as error:
            if failures.may_continue(error):
                await self._books.move(await self._books.failed(job, admission, error))
            return
        except Exception:
            _log.exception("late_answer_failed", attempt_id=admission.attempt.attempt_id)
            return
        _log.info("late_answer", attempt_id=admission.attempt.attempt_id, images=whole.images)
        whole.spool.close()
        await self._books.succeeded(job, admission, _delivered(job, whole), upstream_request_id, late=True)

    async def _attempt_stream(self, job: Job, admission: Admission, outlet: Outlet) -> None:
        begun = perf_counter()
        provider = self._providers[admission.target.provider]
        result = await dispatch(provider, job.call, admission.target, admission.leave, job.remaining)
        streamed = await relay_stream(result, self._room, outlet, job.call, admission.target.provider)
        job.upstream_seconds += perf_counter() - begun
        await self._books.succeeded(job, admission, _delivered(job, streamed), result.upstream_request_id)

    def _end(self, job: Job, status: int, code: str | None = None, *, client_gone: bool = False) -> None:
        """Write the request's last row without making the client wait for it. A request that was never
        admitted has no row."""
        if job.ended:
            return
        job.ended = True
        if client_gone:
            job.facts.notes["client_gone"] = True
        job.note()
        if job.recorded:
            self.running.start(self._record_end(job, status, code, client_gone))

    async def _record_end(self, job: Job, status: int, code: str | None, client_gone: bool) -> None:
        try:
            await self._ledger.record(job.end(status, code, client_gone=client_gone), patient=True)
        except Unavailable:
            _log.error("request_end_not_recorded", request_id=job.facts.request_id, status=status)


def _delivered(job: Job, answer: Whole | Streamed) -> Delivered:
    """What the bill hangs on: what the answer says, else what was asked for."""

    def word(name: str) -> str | None:
        asked = job.call.params.get(name)
        return answer.said(name) or (asked if isinstance(asked, str) else None)

    return Delivered(
        images=answer.images,
        usage=answer.usage,
        quality=word("quality"),
        size=word("size"),
        inputs=job.call.inputs,
        input_images=bool(job.call.images),
        params=job.call.params,
    )


def _warn_operator(error: ProviderError, provider: str, model: str) -> None:
    if error.kind in failures.OPERATORS:
        _log.warning(
            "provider_refused_gateway",
            provider=provider,
            model=model,
            kind=error.kind.value,
            said=error.message,
        )


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
