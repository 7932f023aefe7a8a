"""Answers that are kept for those who come back: their bytes in the media store, who they belong to and how
they ended in the ledger.

How long: 24 hours for a call with an idempotency key or ``respond-async``, 10 minutes for one whose client
left. A key is known for a week longer than its answer, so that who comes too late is told so (410) and does
not buy another picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from gateway.engine.answer import Answer
from gateway.engine.observer import Ready
from gateway.errors import GatewayError, Unavailable
from gateway.ledger.outbox import Message
from gateway.ledger.results import TOGETHER, Outcome, Result, Results
from gateway.media.links import DOCUMENTS
from gateway.media.shelf import MediaFailed, MediaGone
from gateway.media.spool import SpoolFailed
from gateway.media.store import MediaStore

KEEP = timedelta(hours=24)
KEEP_ORPHAN = timedelta(minutes=10)
REMEMBER = timedelta(days=7)
"""For which a key is known after its answer has gone."""

LEASE = timedelta(seconds=30)
RENEW_SECONDS = 10.0
RENEW_AGAIN_SECONDS = 1.0
"""After the ledger did not take it."""

DOUBT_SECONDS = 7.0
"""For which a lease that ran out while the ledger may have been away is not held against its replica: a step
that met a silent database fails after 5 s, and is made again."""

SWEEP_SECONDS = 60.0
REPLAYED = ("x-imagegate-replayed", "true")
_OF_THE_FIRST = ("x-imagegate-attempts", "x-imagegate-overhead-ms", "x-imagegate-cost-usd", "x-ratelimit-")
"""Headers that tell of the call and not of the picture; a replay makes no call."""

_log = structlog.get_logger("imagegate.results")


class Replayed(GatewayError):
    """An error that an earlier call ended with, told again."""


class ResultStore:
    """One per process."""

    def __init__(self, rows: Results, media: MediaStore) -> None:
        self.rows = rows
        self._media = media

    async def put(self, request_id: str, ready: Ready, keep: timedelta) -> Outcome:
        """Keep an answer's bytes, and say what there is to write of it (:meth:`finish`). What the store does
        not take is told as expired to those who come back."""
        format = "sse" if ready.content_type.startswith("text/event-stream") else "json"
        media_id, size = None, None
        try:
            stored = await self._media.put(ready.body.chunks(keep=True), format, request_id=request_id)
        except (MediaFailed, SpoolFailed) as error:
            _log.error("result_not_kept", request_id=request_id, reason=error.strerror)
        else:
            media_id, size = stored.id, stored.size
        kept = [[name, text] for name, text in ready.headers if not name.startswith(_OF_THE_FIRST)]
        now = datetime.now(UTC)
        return Outcome(
            status=ready.status,
            ended_at=now,
            expires_at=now + keep,
            headers=msgspec.json.encode(kept).decode(),
            content_type=DOCUMENTS[format],
            media_id=media_id,
            size=size,
        )

    async def finish(self, request_id: str, outcome: Outcome, message: Message | None) -> None:
        """On return whoever may have the answer finds it. May be repeated: raises
        :class:`gateway.errors.Unavailable` while the ledger is away."""
        written = await self.rows.finish(request_id, outcome, message)
        if not written and outcome.media_id is not None:
            with suppress(MediaFailed):
                await self._media.delete(outcome.media_id)

    def of_error(self, error: GatewayError, keep: timedelta) -> Outcome:
        """What there is to write of a call that ended with an error."""
        now = datetime.now(UTC)
        told = {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "extra": error.extra,
        }
        return Outcome(
            status=int(error.status),
            ended_at=now,
            expires_at=now + keep,
            error=msgspec.json.encode(told).decode(),
        )

    async def answer(self, row: Result, base_url: str) -> Answer:
        """The kept answer of a call that is ``done``, once more. Raises the error that the call ended with,
        410 where it is gone, 503 while the media store is away."""
        if row.error is not None:
            raise _again(row)
        if row.media_id is None:
            raise expired(row.request_id)
        try:
            # Links work for a shorter time; who comes later gets fresh ones to the same pictures.
            opened = await self._media.open_renewed(row.media_id, base_url)
        except MediaGone:
            raise expired(row.request_id) from None
        except MediaFailed:
            raise Unavailable(
                "The answer of this request is kept, but this gateway cannot reach its store for now. "
                f"Nothing was sent or charged. Request ID {row.request_id}.",
                code="media_unavailable",
                retry_after=5,
            ) from None
        headers: list[tuple[str, str]] = [
            (name, text) for name, text in msgspec.json.decode(row.headers or "[]")
        ]
        headers += [("x-imagegate-cost-usd", "0.00"), REPLAYED]
        kind = row.content_type or DOCUMENTS["json"]

        async def delivered(complete: bool) -> None:
            await opened.aclose()

        return Answer(row.status or 200, headers, kind, opened.chunks, opened.size, delivered)

    def link(self, media_id: str, base_url: str) -> str:
        """To the kept bytes, for ``media.link_lifetime``."""
        return self._media.url(media_id, base_url, now=datetime.now(UTC))

    async def sweep(self) -> int:
        """Remove what is too old, and find those whose replica has died; how many answers were removed."""
        removed, now = 0, datetime.now(UTC)
        await self.rows.get("")  # it answers
        await self.lapse(now)
        while True:
            gone = await self.rows.expire(datetime.now(UTC), REMEMBER)
            for media_id in gone:
                removed += await self._media.delete(media_id)
            if len(gone) < TOGETHER:
                return removed

    async def lapse(self, now: datetime) -> None:
        """Find those whose replica had died by ``now``; since then the ledger has answered. If it was away
        before, those that live are given time to say so."""
        if self.rows.shared:
            await asyncio.sleep(DOUBT_SECONDS)
        await self.rows.lapse(now, REMEMBER)


@asynccontextmanager
async def results_kept(store: ResultStore, running: Callable[[], Sequence[str]]) -> AsyncIterator[None]:
    """While this is open, ``running`` calls of this process that somebody may wait for are known to live, and
    old answers are removed."""
    if not store.rows.shared:
        with suppress(Unavailable):
            await store.rows.lapse(datetime.now(UTC), REMEMBER, all_running=True)

    async def renew() -> None:
        if ids := running():
            await store.rows.renew(ids, datetime.now(UTC) + LEASE)

    tasks = [
        asyncio.create_task(every(RENEW_SECONDS, renew, again=RENEW_AGAIN_SECONDS), name="renew-results"),
        asyncio.create_task(every(SWEEP_SECONDS, store.sweep), name="sweep-results"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def every(seconds: float, work: Callable[[], Awaitable[object]], *, again: float | None = None) -> None:
    """Do it again and again; a failure is logged and waits for the next turn. ``again``: seconds until then,
    where a store was away."""
    pause = seconds
    while True:
        await asyncio.sleep(pause)
        pause = seconds
        try:
            await work()
        except (Unavailable, MediaFailed) as error:
            _log.warning("results_upkeep_waits", reason=str(error))
            pause = seconds if again is None else again
        except Exception:
            _log.exception("results_upkeep_failed")


def expired(request_id: str) -> GatewayError:
    return GatewayError(
        "This request was answered before, and its answer is no longer kept. It was not sent again and "
        "nothing was charged. To have another picture made, use another Idempotency-Key. "
        f"Request ID {request_id}.",
        code="result_expired",
        type="invalid_request_error",
        status=410,
        retryable=False,
        headers=dict([REPLAYED]),
    )


def _again(row: Result) -> Replayed:
    told: Mapping[str, object] = msgspec.json.decode(row.error or "{}")
    extra = told.get("extra")
    return Replayed(
        str(told.get("message")),
        type=_text(told.get("type")),
        param=_text(told.get("param")),
        code=_text(told.get("code")),
        extra=extra if isinstance(extra, dict) else None,
        status=row.status or 500,
        retryable=False,
        headers=dict([REPLAYED]),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
