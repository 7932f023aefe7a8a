"""What stands before the engine: whether a call is to be made, or is one that was made before.

::

    an Idempotency-Key    its first call makes the picture; later ones wait for that, or are given it again
    an orphan             one of these is taken over, once; see orphans.py
    Prefer: respond-async the call is made, and its record is the answer
    anything else         the call is made

A call that joins another is sent to nobody, holds nothing and costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Protocol

import structlog

from gateway.caller import Caller
from gateway.engine.answer import CLIENT_GONE, Answer, RequestFacts, unreadable
from gateway.engine.failures import gateway_failed
from gateway.engine.fingerprint import Fingerprint
from gateway.engine.following import Followed, Follower
from gateway.engine.orphans import Orphans
from gateway.engine.results import Replayed, ResultStore, expired
from gateway.engine.running import Running
from gateway.errors import GatewayError, InvalidRequest, Unavailable, UpstreamFailed
from gateway.images.call import ImageCall
from gateway.ledger.results import Result
from gateway.routing.directory import PublicModel
from gateway.telemetry import meters

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two looks at a call that runs elsewhere."""

_log = structlog.get_logger("imagegate.results")


class Engine(Protocol):
    """What makes pictures: :class:`gateway.engine.engine.Engine`."""

    async def run(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Answer: ...


Making = Callable[[], Awaitable[Answer]]
"""Makes a call, once."""

Accepted = Callable[[str, Followed], Awaitable[Answer]]
"""Makes the 202 that names a request's record, for the call that asks."""


class Joining:
    """One per process, in the engine's place. ``patience`` bounds in seconds how long a call waits for
    another."""

    def __init__(
        self,
        engine: Engine,
        follower: Follower,
        orphans: Orphans,
        results: ResultStore,
        running: Running,
        accepted: Accepted,
        *,
        patience: float,
    ) -> None:
        self._engine = engine
        self._follower = follower
        self._orphans = orphans
        self._results = results
        self._running = running
        self._accepted = accepted
        self._patience = patience

    async def run(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Answer:
        """As the engine's own. Raises :class:`GatewayError` and nothing else for the client."""
        if facts.respond_async and call.stream:
            raise InvalidRequest(
                "A stream cannot be answered later. Leave out 'stream', or the header 'Prefer: "
                "respond-async'.",
                param="stream",
                code="invalid_value",
            )
        fingerprint = Fingerprint(call, call.end_user or facts.end_user, str(facts.wishes), str(facts.drill))
        # What is followed for minutes must not hold the request's whole body.
        alone = replace(facts, reread=unreadable)
        this = Followed(caller, call.operation.value, fingerprint, alone)
        make = partial(self._made, this, call, model, facts)
        if facts.idempotency_key is not None:
            return await self._keyed(this, make)
        if facts.respond_async:
            await self._results.rows.begin(this.row(await this.fingerprint.digest()))
            this.has_row = True
            return await self._later(this, make)
        joined = await self._claimed(this)
        if joined is not None:
            return joined
        self._follower.suspect(this, marked=facts.is_retry)
        return await make()

    async def _keyed(self, this: Followed, make: Making) -> Answer:
        digest = await this.fingerprint.digest()
        while True:
            first = await self._results.rows.begin(this.row(digest))
            if first is None:
                this.has_row = True
                return await (self._later(this, make) if this.facts.respond_async else make())
            if first.fingerprint != digest:
                raise _mismatch()
            if this.facts.respond_async:
                this.facts.uploads.close()
                return _replayed(await self._accepted(first.request_id, this))
            answer = await self._joined(first, this.facts)
            if answer is not None:
                return answer
            # The first call made nothing, so this one may.

    async def _claimed(self, this: Followed) -> Answer | None:
        """An orphan's answer, which nobody else is given; None where there is none to be had."""
        facts = this.facts
        await self._follower.left_behind(this)
        orphan = await self._orphans.claim(
            this.caller.key_id, this.route, this.fingerprint, by=facts.request_id, marked=facts.is_retry
        )
        if orphan is None:
            return None
        try:
            answer = await self._joined(orphan, facts)
        except Replayed:
            raise
        except BaseException:
            await self._give_back(orphan, facts)
            raise
        if answer is None:
            return None
        inner = answer.delivered

        async def delivered(complete: bool) -> None:
            await inner(complete)
            if not complete:
                await self._give_back(orphan, facts)

        answer.delivered = delivered
        return answer

    async def _give_back(self, orphan: Result, facts: RequestFacts) -> None:
        """Whoever claimed it was not given it, so that it may be claimed again."""

        async def give_back() -> None:
            await self._results.rows.unclaim(orphan.request_id, facts.request_id, datetime.now(UTC))
            self._orphans.add_again(orphan)

        try:
            await give_back()
        except Unavailable:
            self._running.start(self._follower.insist(orphan.request_id, give_back))

    async def _joined(self, first: Result, facts: RequestFacts) -> Answer | None:
        """The answer of an earlier call, waited for where it still runs; None where that made nothing."""
        how = "attached" if first.state == "running" else "replayed"
        ended = await self._ended(first, facts)
        if ended is None:
            return None
        facts.notes.update(joined=how, joined_to=first.request_id)
        meters.joins.add(1, {"how": how})
        if ended.state == "lost":
            raise _lost(first)
        if ended.state == "expired":
            raise expired(first.request_id)
        return await self._results.answer(ended, facts.base_url)

    async def _ended(self, row: Result, facts: RequestFacts) -> Result | None:
        """The row once its call has ended; None where it is gone, since the call made nothing."""
        until = facts.started + self._patience
        pause, found = FIRST_PAUSE, row
        while found.state == "running":
            if facts.gone():
                raise Unavailable(
                    "The client left while it waited for an earlier call.", code="client_gone_early",
                    status=CLIENT_GONE,
                )  # fmt: skip
            if perf_counter() >= until:
                raise _still_running(row.request_id)
            here = self._follower.of(row.request_id)
            if here is None:
                await asyncio.sleep(pause)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(here.ended.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            now = datetime.now(UTC)
            looked = await self._results.rows.get(row.request_id)
            if looked is not None and looked.state == "running" and looked.lease_until <= now:
                await self._results.lapse(now)
                looked = await self._results.rows.get(row.request_id)
            if looked is None:
                return None
            found = looked
        return found

    async def _made(self, this: Followed, call: ImageCall, model: PublicModel, facts: RequestFacts) -> Answer:
        """The call, made by the engine and followed to its end."""
        self._follower.begin(this)
        if facts.respond_async:
            facts = replace(facts, gone=_nobody_leaves)
        else:
            facts.when_gone(lambda: self._follower.client_left(this))
        try:
            answer = await self._engine.run(call, model, this.caller, facts)
        except asyncio.CancelledError:
            self._follower.client_left(this)
            if this.job is None:
                self._follower.end(this)
            raise
        except GatewayError as error:
            await self._not_made(this, error)
            raise
        except Exception:
            await self._not_made(this, gateway_failed(this.request_id))
            raise
        inner = answer.delivered

        async def delivered(complete: bool) -> None:
            await inner(complete)
            if complete:  # else the follower ends it, once its answer is kept
                self._follower.delivered(this)

        answer.delivered = delivered
        return answer

    async def _not_made(self, this: Followed, error: GatewayError) -> None:
        job = this.job
        if job is None or not job.awaited:
            await self._follower.failed(this, error)

    async def _later(self, this: Followed, make: Making) -> Answer:
        """202 as soon as the call was sent; what keeps it from being sent is told at once."""
        running = self._running.start(self._run_on(this, make))
        sent = asyncio.ensure_future(this.dispatched.wait())
        try:
            await asyncio.wait({running, sent}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sent.cancel()
        if not this.dispatched.is_set():
            error = await running
            raise error or gateway_failed(this.request_id)
        return await self._accepted(this.request_id, this)

    async def _run_on(self, this: Followed, make: Making) -> GatewayError | None:
        """The call to its end, with nobody waiting; the error that it ended with."""
        status = 500
        try:
            answer = await make()
            status = answer.status
            await answer.delivered(True)
        except GatewayError as error:
            status = int(error.status)
            return error
        except Exception:
            _log.exception("async_failed", request_id=this.request_id)
            return gateway_failed(this.request_id)
        finally:
            this.facts.uploads.close()
            if this.dispatched.is_set():
                _log.info("async_finished", request_id=this.request_id, status=status)
        return None


def _replayed(answer: Answer) -> Answer:
    return replace(answer, headers=[*answer.headers, ("x-imagegate-replayed", "true")])


def _nobody_leaves() -> bool:
    return False


def _mismatch() -> InvalidRequest:
    return InvalidRequest(
        "This Idempotency-Key was used for another request: other fields, pictures, end user or delivery. "
        "Nothing was sent. Send the same request again, or use a new key for a new one.",
        param="Idempotency-Key",
        code="idempotency_key_reused",
        status=422,
    )


def _lost(first: Result) -> UpstreamFailed:
    again = "It is not bought again under this key."
    if first.idempotency_key is None:
        again = "Sent once more, this request is made, and billed, anew."
    return UpstreamFailed(
        "The gateway that made this call ended before the answer came, so nobody knows whether the picture "
        f"was made. {again} Request ID {first.request_id}.",
        code="result_unknown",
        status=504,
        retryable=False,
        headers={"x-imagegate-replayed": "true"},
    )


def _still_running(request_id: str) -> UpstreamFailed:
    return UpstreamFailed(
        "The call that this one waits for is still running. Ask again, which costs nothing more. "
        f"Request ID {request_id}.",
        code="still_running",
        status=504,
        retryable=True,
    )
