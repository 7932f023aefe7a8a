"""The calls of this process that may yet have to be answered twice, and what is written of them.

A call without an idempotency key whose client stays is an entry in a dictionary and nothing else. It gets a
row when its client leaves after dispatch, or is told an error while the outcome is open; a call with a key,
or one that is answered later (``Prefer: respond-async``), had one before it was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from time import perf_counter

import structlog

from gateway.caller import Caller
from gateway.engine.answer import RequestFacts
from gateway.engine.completion import completed
from gateway.engine.failures import gateway_failed
from gateway.engine.fingerprint import Fingerprint
from gateway.engine.job import Job
from gateway.engine.observer import Ready
from gateway.engine.orphans import Orphans
from gateway.engine.results import KEEP, KEEP_ORPHAN, LEASE, ResultStore
from gateway.engine.running import Running
from gateway.errors import GatewayError, Unavailable
from gateway.ledger.outbox import Message
from gateway.ledger.results import Orphan, Outcome, Result
from gateway.telemetry import meters

LEAVING_SECONDS = 5.0
"""How long a call waits to hear what became of one like it whose client has just left, and who is told of a
time-out until it is written that its call may be claimed."""

INSIST_SECONDS = 600.0
AGAIN_SECONDS = (0.1, 1.0)
"""For how long, and how often (at first, then ever less, down to), what the ledger did not take while it was
away is told to it again."""

Step = Callable[[], Awaitable[None]]

_log = structlog.get_logger("imagegate.results")


@dataclass(slots=True, eq=False)
class Followed:
    """One call. ``has_row``: the ledger knows it. ``left``: its client is gone, or was told an error."""

    caller: Caller
    route: str
    fingerprint: Fingerprint
    facts: RequestFacts
    job: Job | None = None
    has_row: bool = False
    left: bool = False
    error: GatewayError | None = None
    writing: asyncio.Task[None] | None = None
    kept: bool = False
    dispatched: asyncio.Event = field(default_factory=asyncio.Event)
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is dispatched, or has ended without."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request_id(self) -> str:
        return self.facts.request_id

    @property
    def is_awaited(self) -> bool:
        """Whether its answer is kept whatever its client does."""
        return self.facts.idempotency_key is not None or self.facts.respond_async

    @property
    def like(self) -> tuple[str, str, bytes]:
        return self.caller.key_id, self.route, self.fingerprint.outline

    def row(self, fingerprint: str, *, left_at: datetime | None = None) -> Result:
        now = datetime.now(UTC)
        return Result(
            request_id=self.request_id,
            project_id=self.caller.project_id,
            key_id=self.caller.key_id,
            route=self.route,
            fingerprint=fingerprint,
            begun_at=now,
            lease_until=now + LEASE,
            idempotency_key=self.facts.idempotency_key,
            respond_async=self.facts.respond_async,
            left_at=left_at,
        )


def _nobody_waits() -> None:
    pass


class Follower:
    """An :class:`gateway.engine.observer.Observer`. ``running`` owns what must outlive a client. ``told``
    are the projects that want a message when a call of theirs that was answered later is complete;
    ``message_waits`` is called when there is one."""

    def __init__(
        self,
        results: ResultStore,
        orphans: Orphans,
        running: Running,
        *,
        told: Collection[str] = (),
        message_waits: Callable[[], None] = _nobody_waits,
    ) -> None:
        self._results = results
        self._orphans = orphans
        self._running = running
        self._told = told
        self._message_waits = message_waits
        self._followed: dict[str, Followed] = {}
        self._alike: dict[tuple[str, str, bytes], list[Followed]] = {}

    def reconfigured(self, told: Collection[str]) -> None:
        """Other projects want messages from now on."""
        self._told = told

    def begin(self, call: Followed) -> None:
        self._followed[call.request_id] = call
        self._alike.setdefault(call.like, []).append(call)

    def end(self, call: Followed) -> None:
        """Nobody will ask for it here any more. May be repeated."""
        call.ended.set()
        call.decided.set()
        if self._followed.pop(call.request_id, None) is None:
            return
        alike = self._alike[call.like]
        alike.remove(call)
        if not alike:
            del self._alike[call.like]

    def delivered(self, call: Followed) -> None:
        """Its client has all of it. One that closed its connection with the last byte may have been taken for
        one that left: nobody may have the answer of a call that was delivered."""
        self.end(call)
        if call.writing is not None:
            self._running.start(self._take_back(call, call.writing))

    async def _take_back(self, call: Followed, writing: asyncio.Task[None]) -> None:
        await writing
        if call.has_row and not call.is_awaited:
            try:
                await self._results.rows.forget(call.request_id)
            except Unavailable as error:
                _log.warning("orphan_not_taken_back", request_id=call.request_id, code=error.code)

    def of(self, request_id: str) -> Followed | None:
        return self._followed.get(request_id)

    def with_rows(self) -> Sequence[str]:
        """The calls whose rows say that they run here."""
        return [each.request_id for each in self._followed.values() if each.has_row]

    def suspect(self, call: Followed, *, marked: bool) -> None:
        """Count a call that looks like a repetition of one that runs here and whose client has not left: most
        likely somebody between (a mesh, an ingress) has sent it twice, and both are paid."""
        others = [each for each in self._alike.get(call.like, ()) if each is not call and not each.left]
        if not others:
            return
        call.facts.notes["suspected_duplicate_of"] = others[-1].request_id
        meters.suspected_duplicate.add(1, {"route": call.route})
        _log.warning(
            "suspected_duplicate", request_id=call.request_id, of=others[-1].request_id, marked_retry=marked
        )

    async def left_behind(self, call: Followed) -> None:
        """Wait until calls like this one whose clients have left are known as orphans, or to be none: who
        leaves and asks again at once must not come before the word of it is written."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_SECONDS):
                for each in [each for each in self._alike.get(call.like, ()) if each.left]:
                    await each.decided.wait()
                    if each.writing is not None:
                        await asyncio.wait([each.writing])

    def client_left(self, call: Followed) -> None:
        """Seen by the HTTP face, at any time."""
        if call.left or call.ended.is_set():
            return
        call.left = True
        if call.job is not None:
            self._orphan(call)

    def on_dispatched(self, job: Job) -> None:
        call = self.of(job.facts.request_id)
        if call is None or call.job is not None:
            return
        call.job = job
        call.dispatched.set()
        call.decided.set()
        call.fingerprint.begin()
        if call.left:
            self._orphan(call)

    async def on_answered_error(self, job: Job, error: GatewayError) -> None:
        call = self.of(job.facts.request_id)
        if call is None:
            return
        call.error = error
        if not job.awaited:
            await self.failed(call, error)
        elif not call.is_awaited:
            # Its client is told now, may ask again in a moment, and must find that it is still running.
            # It is told so all the same while the ledger is away: that is insisted on with nobody waiting.
            call.left = True
            await asyncio.wait([self._orphan(call)], timeout=LEAVING_SECONDS)

    async def on_finished(self, job: Job, ready: Ready | None) -> None:
        call = self.of(job.facts.request_id)
        if call is None:
            return
        if ready is None:
            await self.failed(call, call.error or gateway_failed(call.request_id))
        elif call.is_awaited or call.left:
            await self._keep(call, ready)

    async def on_client_left(self, job: Job, ready: Ready | None) -> None:
        call = self.of(job.facts.request_id)
        if call is None:
            return
        self.client_left(call)
        if ready is None:
            return
        keeping = self._running.start(self._keep(call, ready))
        try:
            await asyncio.shield(keeping)
        except asyncio.CancelledError:
            await keeping  # the body is freed when this returns
            raise

    async def failed(self, call: Followed, error: GatewayError) -> None:
        """The call ended without an answer. What clearly made nothing, and another time may make it, is not
        remembered, so that a retry may try; nor is what never began. May be repeated."""
        if call.kept or call.ended.is_set():
            return
        call.kept = True
        if call.writing is not None:
            await call.writing
        if not call.has_row:
            self.end(call)
        elif call.job is not None and (call.facts.respond_async or _is_final(call.job, error)):
            outcome = self._results.of_error(error, _kept_for(call))
            await self._finish(call, outcome, self._message(call, int(error.status), error.code))
        else:
            await self._last(call, partial(self._results.rows.forget, call.request_id))

    def _orphan(self, call: Followed) -> asyncio.Task[None]:
        if call.writing is None:
            call.writing = self._running.start(self._write_orphan(call))
        return call.writing

    async def _write_orphan(self, call: Followed) -> None:
        if call.error is None:
            meters.joins.add(1, {"how": "client_gone"})
            _log.info("client_gone_paid", request_id=call.request_id)
        if call.is_awaited:
            return
        try:
            row = call.row(await call.fingerprint.digest(), left_at=datetime.now(UTC))
            await self._insisting(partial(self._results.rows.leave, row))
        except Exception as failure:
            _log.warning("orphan_not_recorded", request_id=call.request_id, reason=type(failure).__name__)
            return
        call.has_row = True
        self._orphans.add(Orphan(row.key_id, row.route, row.fingerprint, row.begun_at))

    async def _keep(self, call: Followed, ready: Ready) -> None:
        if call.kept:
            return
        call.kept = True
        if call.writing is not None:
            await call.writing
        if not call.has_row:
            self.end(call)
            return
        try:
            outcome = await self._results.put(call.request_id, ready, _kept_for(call))
        except Exception as failure:
            _not_recorded(call.request_id, failure)
            self.end(call)
        else:
            await self._finish(call, outcome, self._message(call, ready.status, None))

    async def _finish(self, call: Followed, outcome: Outcome, message: Message | None) -> None:
        async def finish() -> None:
            await self._results.finish(call.request_id, outcome, message)
            self._tell(message)

        await self._last(call, finish)

    async def _last(self, call: Followed, step: Step) -> None:
        """The last step on a call's row. While the ledger is away it is made again and again, and nobody who
        is here waits for that: until then the row says that the call runs, and so it does."""
        try:
            await step()
        except Unavailable:
            self._running.start(self._later(call, step))
            return
        except Exception as failure:
            _not_recorded(call.request_id, failure)
        self.end(call)

    async def _later(self, call: Followed, step: Step) -> None:
        try:
            await self.insist(call.request_id, step)
        finally:
            self.end(call)

    async def insist(self, request_id: str, step: Step) -> None:
        """Make a step again that the ledger did not take while it was away, until it does. It raises
        nothing."""
        try:
            await self._running.pause(AGAIN_SECONDS[0])
            await self._insisting(step)
        except Exception as failure:
            _not_recorded(request_id, failure)

    async def _insisting(self, step: Step) -> None:
        """Until the ledger takes it; not for good, and not while the process is about to end."""
        until = perf_counter() + INSIST_SECONDS
        pause, longest = AGAIN_SECONDS
        while True:
            try:
                return await step()
            except Unavailable:
                if perf_counter() >= until:
                    raise
                await self._running.pause(pause)
                pause = min(pause * 2, longest)

    def _message(self, call: Followed, status: int, error_code: str | None) -> Message | None:
        if not call.facts.respond_async or call.caller.project_id not in self._told or call.job is None:
            return None
        return completed(call.job, status, error_code, now=datetime.now(UTC))

    def _tell(self, message: Message | None) -> None:
        if message is not None:
            self._message_waits()


def _not_recorded(request_id: str, failure: Exception) -> None:
    _log.error("result_not_recorded", request_id=request_id, reason=type(failure).__name__)


def _kept_for(call: Followed) -> timedelta:
    return KEEP if call.is_awaited else KEEP_ORPHAN


def _is_final(job: Job, error: GatewayError) -> bool:
    """Whether the same call would have to end like this again, or may have been paid for."""
    passing = error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= 500
    return not passing or bool(job.charges)
