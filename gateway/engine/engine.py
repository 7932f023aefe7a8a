"""The life of a request, told once::

    plan      targets that this caller may spend on now           (spending)
    attempt   for each target: a durable row, the call, its body into a spool, verification, settlement
    deliver   headers with what it cost, then the spool's bytes; the client may have gone
    record    the request's last row

The call to the provider runs in a task of its own: a client that leaves does not cancel paid work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeVar

import structlog

from gateway.caller import Caller
from gateway.engine import failures
from gateway.engine.answer import Answer, RequestFacts
from gateway.engine.job import Job
from gateway.engine.outlet import Outlet
from gateway.engine.running import Running
from gateway.engine.spending import SpendingGate
from gateway.engine.streaming import relay_stream
from gateway.engine.whole import UnusableAnswer, Whole, receive_whole
from gateway.errors import GatewayError, InternalError, Unavailable
from gateway.images.amounts import Usage, dollars
from gateway.images.call import ImageCall
from gateway.images.pricing import charge
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt
from gateway.media.spool import SpoolRoom
from gateway.routing.directory import PublicModel, Target
from providers.base import ImageRequest, Provider, ProviderError

T = TypeVar("T")
_log = structlog.get_logger("imagegate.engine")

FIRST_BYTE = 15.0
"""Seconds after which a stream's status line goes out even if no event has come yet."""


class Engine:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        ledger: Ledger,
        room: SpoolRoom,
        gate: SpendingGate,
        *,
        deadline: float,
        max_attempts: int,
    ) -> None:
        self._providers = providers
        self._ledger = ledger
        self._room = room
        self._gate = gate
        self._deadline = deadline
        self._max_attempts = max_attempts
        self.running = Running()

    async def run(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Answer:
        """Serve one validated call. Raises :class:`GatewayError`; nothing else is for the client."""
        targets = await self._gate.admissible(model, caller, facts.received_at)
        job = Job(call, model, caller, facts, targets, facts.started + self._deadline)
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
        whole = await self._through_targets(
            job, lambda target, attempt: self._attempt_whole(job, target, attempt)
        )

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
            await self._through_targets(
                job, lambda target, attempt: self._attempt_stream(job, target, attempt, outlet)
            )
        except GatewayError as error:
            outlet.fail(error)
        except Exception:
            _log.exception("stream_failed", request_id=job.facts.request_id)
            outlet.fail(InternalError(f"The gateway failed. Request ID {job.facts.request_id}."))
        else:
            self._end(job, 200)
            outlet.end()

    async def _through_targets(self, job: Job, attempt_at: Callable[[Target, NewAttempt], Awaitable[T]]) -> T:
        """Try the targets in order while each failure clearly made nothing. The answer to the client is the
        first failure, unless a later one leaves it open whether money was spent."""
        first: GatewayError | None = None
        for target in job.targets[: self._max_attempts]:
            attempt = job.new_attempt(target)
            await self._ledger.record(*([job.new_request()] if job.attempts == 1 else []), attempt)
            begun = perf_counter()
            try:
                return await attempt_at(target, attempt)
            except ProviderError as error:
                job.upstream_seconds += perf_counter() - begun
                if error.kind in failures.OPERATORS:
                    _log.warning(
                        "provider_refused_gateway",
                        provider=target.provider,
                        model=target.model,
                        kind=error.kind.value,
                        said=error.message,
                    )
                goes_on = failures.may_continue(error)
                shown = failures.to_client(error, target.provider, job.facts.request_id)
                first = shown if first is None or not goes_on else first
                await self._book_failure(job, target, attempt, error)
                if not goes_on or job.remaining < 1.0:
                    break
            except Exception as error:
                if not isinstance(error, GatewayError):
                    await self._book(job, attempt, _end(attempt, AttemptState.UNKNOWN))
                self._end(job, getattr(error, "status", 500), getattr(error, "code", None))
                raise
        failure = first or Unavailable(f"No provider serves '{job.model.name}' right now.")
        self._end(job, failure.status, failure.code)
        raise failure

    async def _attempt_whole(self, job: Job, target: Target, attempt: NewAttempt) -> Whole:
        begun = perf_counter()
        result = await self._providers[target.provider].send(fit(job.call, target), job.remaining)
        whole = await receive_whole(result, self._room, provider=target.provider, prompt=job.call.prompt)
        job.upstream_seconds += perf_counter() - begun
        await self._book_success(job, target, attempt, whole.usage, whole.images, result.upstream_request_id)
        if whole.lost is not None:
            whole.spool.close()
            raise Unavailable(
                f"The picture was made and paid for, but this gateway's disk could not take it. "
                f"Request ID {job.facts.request_id}.",
                code="spool_failed",
                retryable=False,
            )
        return whole

    async def _attempt_stream(self, job: Job, target: Target, attempt: NewAttempt, outlet: Outlet) -> None:
        begun = perf_counter()
        result = await self._providers[target.provider].send(fit(job.call, target), job.remaining)
        streamed = await relay_stream(result, self._room, outlet, job.call, target.provider)
        job.upstream_seconds += perf_counter() - begun
        await self._book_success(
            job, target, attempt, streamed.usage, streamed.images, result.upstream_request_id
        )

    async def _book_success(
        self,
        job: Job,
        target: Target,
        attempt: NewAttempt,
        usage: Usage | None,
        images: int,
        upstream_request_id: str | None,
    ) -> None:
        cost = charge(target.entry, attempt.dispatched_at.date(), usage, images)
        await self._book(
            job,
            attempt,
            _end(
                attempt,
                AttemptState.SETTLED,
                http_status=200,
                usage=usage,
                charge=cost,
                images=images,
                upstream_request_id=upstream_request_id,
            ),
        )

    async def _book_failure(
        self, job: Job, target: Target, attempt: NewAttempt, error: ProviderError
    ) -> None:
        usage = error.usage if isinstance(error, UnusableAnswer) else None
        state = AttemptState.SETTLED if usage else failures.state_after(error)
        await self._book(
            job,
            attempt,
            _end(
                attempt,
                state,
                http_status=error.status,
                kind=error.kind.value,
                certainty=error.certainty.value,
                error_code=error.code,
                usage=usage,
                charge=charge(target.entry, attempt.dispatched_at.date(), usage, 0) if usage else None,
                images=0,
                upstream_request_id=error.upstream_request_id,
            ),
        )

    async def _book(self, job: Job, attempt: NewAttempt, end: AttemptEnd) -> None:
        """Make an attempt's end durable. When the store is away the client still gets its picture: the row
        stays ``dispatched``, is found at the next start, and the log line holds what it should say."""
        job.settle(attempt, end)
        try:
            await self._ledger.record(end)
        except Unavailable:
            amount = end.charge.cost if end.charge else None
            _log.error(
                "settle_not_recorded",
                attempt_id=end.attempt_id,
                state=end.state.value,
                cost_usd=None if amount is None else dollars(amount),
            )

    def _end(self, job: Job, status: int, code: str | None = None, *, client_gone: bool = False) -> None:
        """Write the request's last row without making the client wait for it."""
        if job.ended:
            return
        job.ended = True
        if client_gone:
            job.facts.notes["client_gone"] = True
        job.note()
        self.running.start(self._record_end(job, status, code, client_gone))

    async def _record_end(self, job: Job, status: int, code: str | None, client_gone: bool) -> None:
        try:
            await self._ledger.record(job.end(status, code, client_gone=client_gone), patient=True)
        except Unavailable:
            _log.error("request_end_not_recorded", request_id=job.facts.request_id, status=status)


def fit(call: ImageCall, target: Target) -> ImageRequest:
    """The call in one target's terms."""
    return ImageRequest(
        operation=call.operation,
        model=target.model,
        prompt=call.prompt,
        params=call.params,
        images=call.images,
        mask=call.mask,
        markup=call.markup,
    )


def _end(attempt: NewAttempt, state: AttemptState, **facts: object) -> AttemptEnd:
    return AttemptEnd(attempt_id=attempt.attempt_id, state=state, ended_at=datetime.now(UTC), **facts)  # type: ignore[arg-type]


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
