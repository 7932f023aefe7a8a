"""The life of a request, told once::

plan       the targets that can serve it, and as what, in which order               (planning)
admit      what it can cost, room under every limit, durable rows, leave to send    (admission)
attempt    for each candidate: its calls side by side, their bodies into spools     (attempts)
decide     after a failure: the next target, the same once more, or the end         (failover)
book       settled, released or unknown: the ledger, then the store of limits       (books)
deliver    headers with what it cost, then the spool's bytes; the client may have gone
record     the request's last row
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from time import perf_counter

import structlog

from gateway.caller import Caller
from gateway.engine import failures
from gateway.engine.abandoned import KILLED
from gateway.engine.admission import Admission
from gateway.engine.answer import Answer, RequestFacts, unreadable
from gateway.engine.attempts import LATE, Attempts, Tried, Turn
from gateway.engine.failover import Failover, broken
from gateway.engine.finishing import Finishing
from gateway.engine.job import Job
from gateway.engine.observer import Observer, Ready, Unobserved
from gateway.engine.outlet import Outlet
from gateway.engine.pictures import Pictures
from gateway.engine.planning import Planning
from gateway.engine.running import Running
from gateway.engine.streaming import Streamed
from gateway.engine.whole import Whole
from gateway.errors import GatewayError, Unavailable
from gateway.images.call import ImageCall
from gateway.ledger.ledger import Ledger
from gateway.routing.directory import PublicModel

_log = structlog.get_logger("imagegate.engine")

_EVENTS = "text/event-stream; charset=utf-8"
FIRST_BYTE = 15.0
"""Seconds after which a stream's status line goes out even if no event has come yet."""


class Engine:
    """One per process. ``deadline`` is in seconds from a request's arrival."""

    def __init__(
        self,
        planning: Planning,
        failover: Failover,
        attempts: Attempts,
        pictures: Pictures,
        ledger: Ledger,
        running: Running,
        *,
        deadline: float,
        observer: Observer | None = None,
    ) -> None:
        self._planning = planning
        self._failover = failover
        self._attempts = attempts
        self._finishing = Finishing(pictures)
        self._ledger = ledger
        self._deadline = deadline
        self._observer = observer or Unobserved()
        self.running = running

    async def run(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Answer:
        """Serve one validated call. Raises :class:`GatewayError`; nothing else is for the client."""
        self.running.admit()
        facts.notes.update(model=model.name, operation=call.operation.value)
        planned = await self._planning.plan(call, model, caller, facts)
        if facts.reread is not unreadable:
            facts = replace(facts, reread=unreadable)  # it holds the whole body
        job = Job(planned.call, planned.model, caller, facts, planned, facts.started + self._deadline)
        try:
            if job.call.stream:
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
        job.late.then = partial(self._came_late, job)
        try:
            answers = await self._answers(job)
            finished = await self._finishing.whole(answers, job.order(), job.reporting)
        except GatewayError as error:
            self._end(job, error.status, error.code)
            await self._observer.on_answered_error(job, error)
            job.late.told(error=True)
            raise
        except Exception:
            self._end(job, 500)
            await self._observer.on_answered_error(job, broken(job))
            job.late.told(error=True)
            raise
        except asyncio.CancelledError:
            self._cut(job)
            raise

        job.late.told(error=False)
        job.delivered(finished.pictures, finished.adjustments)
        ready = Ready(200, job.headers(), "application/json", finished.body)
        await self._observer.on_finished(job, ready)

        async def delivered(complete: bool) -> None:
            if not complete:
                await self._observer.on_client_left(job, ready)
            ready.body.close()
            self._end(job, 200, client_gone=not complete)

        # Kept until it was delivered: a client that leaves in the middle may come back for the whole.
        chunks = ready.body.chunks(keep=True)
        return Answer(200, ready.headers, ready.content_type, chunks, ready.body.size, delivered)

    async def _answers(self, job: Job) -> Sequence[Whole]:
        async def attempting(admissions: Sequence[Admission], turn: Turn) -> Tried[Whole]:
            self._observer.on_dispatched(job)
            return await self._attempts.whole(job, admissions, turn)

        try:
            return (await self._failover.through(job, attempting)).answers
        except GatewayError:
            late = job.late.taken()
            if late is None:
                raise
            job.served = late[0]  # another target was tried meanwhile, and failed
            return late[1]

    async def _came_late(self, job: Job) -> None:
        """The client was told an error, and the last call that was still awaited has ended."""
        late, ready = job.late.taken(), None
        if late is not None:
            job.served, answers = late
            try:
                order = replace(job.order(), deadline=perf_counter() + LATE)
                finished = await self._finishing.whole(answers, order, job.reporting)
            except GatewayError as error:
                _log.warning("late_answer_lost", request_id=job.facts.request_id, code=error.code)
            else:
                job.delivered(finished.pictures, finished.adjustments)
                ready = Ready(200, job.headers(), "application/json", finished.body)
        try:
            await self._observer.on_finished(job, ready)
        finally:
            if ready is not None:
                ready.body.close()

    async def _streamed(self, job: Job) -> Answer:
        outlet = Outlet()
        self.running.start(self._produce(job, outlet))
        try:
            failure = await outlet.opened(FIRST_BYTE)
        except asyncio.CancelledError:
            outlet.close()
            raise
        if failure is not None:
            raise failure

        async def delivered(complete: bool) -> None:
            if not complete:
                job.facts.notes["client_gone"] = True
                await self._observer.on_client_left(job, _ready(job, outlet) if job.ended else None)
            outlet.close()
            job.note()

        return Answer(
            200,
            job.headers(complete=False),
            _EVENTS,
            outlet.chunks(),
            None,
            delivered,
        )

    async def _produce(self, job: Job, outlet: Outlet) -> None:
        async def attempting(admissions: Sequence[Admission], turn: Turn) -> Tried[Streamed]:
            self._observer.on_dispatched(job)
            return await self._attempts.streamed(job, admissions, turn, outlet)

        failure: GatewayError | None = None
        try:
            await self._failover.through(job, attempting, lambda: not outlet.relayed)
            if job.pictures < job.call.n:
                failure = failures.missing_pictures(job.pictures, job.call.n, job.facts.request_id)
        except GatewayError as error:
            failure = error
            self._end(job, error.status, error.code)
        except Exception:
            _log.exception("stream_failed", request_id=job.facts.request_id)
            failure = broken(job)
            self._end(job, 500)
        except asyncio.CancelledError:
            self._cut(job)
            raise
        self._end(job, 200)
        try:
            ready = _ready(job, outlet, failure)
            if ready is not None:
                await self._observer.on_finished(job, ready)
            elif failure is not None:
                await self._observer.on_answered_error(job, failure)
        finally:
            if failure is None:
                outlet.end()
            else:
                outlet.fail(failure)
            outlet.produced()

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

    def _cut(self, job: Job) -> None:
        """Tasks are the engine's own, so nothing cancels one but the end of the process."""
        if not job.ended and job.recorded:
            self.running.cut.append(job.end(HTTPStatus.GATEWAY_TIMEOUT, KILLED))
        job.ended = True


def _ready(job: Job, outlet: Outlet, failure: GatewayError | None = None) -> Ready | None:
    """What a stream says again to who comes back: its completed pictures, and the error it ends with."""
    body = outlet.whole(failure)
    return None if body is None else Ready(200, job.headers(complete=False), _EVENTS, body)


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
