"""Messages to projects' webhooks on their way: read from the ledger, signed, delivered at least once.

The address is the configuration's at the time of the try, and it is judged like every other that the gateway
is given: https, a public host, the judged address and no other, no redirect. A message that nobody takes is
tried again with growing pauses for a day; 410 ends it at once. A replica that dies in the middle of a try
leaves the message to the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from gateway.engine.webhook import signed
from gateway.errors import Unavailable
from gateway.ledger.outbox import Message, Outbox
from providers.guarded import FetchFailed

TRY_SECONDS = 10.0
LEASE = timedelta(seconds=30)
AT_ONCE = 8
LOOK_SECONDS = 5.0
"""How often messages of other replicas, and those whose pause is over, are looked for."""

PAUSES: Sequence[float] = (5, 30, 120, 600, 1800, 3600)
"""Seconds after each failed try; the last one again and again."""

GIVE_UP = timedelta(hours=24)
_GONE = 410
_log = structlog.get_logger("imagegate.webhooks")


class Poster(Protocol):
    """The part of :class:`providers.guarded.GuardedFetch` that is used here."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, also: Sequence[str] = ()
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Destination:
    """A project's webhook; ``key`` signs."""

    url: str
    key: bytes


class Courier:
    """One per process. ``origins`` are inside and allowed all the same."""

    def __init__(
        self,
        rows: Outbox,
        poster: Poster,
        destinations: Mapping[str, Destination],
        *,
        origins: Sequence[str] = (),
    ) -> None:
        self._rows = rows
        self._poster = poster
        self._destinations = destinations
        self._origins = origins
        self._waiting = asyncio.Event()

    def reconfigured(
        self, poster: Poster, destinations: Mapping[str, Destination], origins: Sequence[str]
    ) -> None:
        """Other addresses from now on, also for messages that wait."""
        self._poster, self._destinations, self._origins = poster, destinations, origins
        self._waiting.set()

    def wake(self) -> None:
        """There is a message."""
        self._waiting.set()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """While this is open, messages are delivered."""
        task = asyncio.create_task(self._run(), name="outbox")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not self._destinations:  # there is nobody to tell, and no reason to ask the ledger
                await self._waiting.wait()
                self._waiting.clear()
                continue
            try:
                while await self.deliver():
                    pass
            except Unavailable:
                pass  # it was logged where it was raised
            except Exception:
                _log.exception("outbox_failed")
            try:
                await asyncio.wait_for(self._waiting.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
            self._waiting.clear()

    async def deliver(self) -> int:
        """One turn; how many messages were tried."""
        now = datetime.now(UTC)
        taken = await self._rows.take(now, now + LEASE, AT_ONCE)
        await asyncio.gather(*(self._try(message) for message in taken))
        return len(taken)

    async def _try(self, message: Message) -> None:
        to = self._destinations.get(message.project_id)
        status, why = (None, "the project has no webhook") if to is None else await self._post(to, message)
        if status is not None and 200 <= status < 300:
            await self._rows.done(message.message_id)
            return
        now = datetime.now(UTC)
        again = now + timedelta(seconds=PAUSES[min(message.tries, len(PAUSES) - 1)])
        over = to is None or status == _GONE or again - message.created_at > GIVE_UP
        tell = _log.error if over else _log.warning
        tell(
            "webhook_given_up" if over else "webhook_refused",
            message_id=message.message_id,
            project=message.project_id,
            status=status,
            reason=why,
            tries=message.tries + 1,
        )
        if over:
            await self._rows.done(message.message_id)
        else:
            await self._rows.again(message.message_id, again)

    async def _post(self, to: Destination, message: Message) -> tuple[int | None, str | None]:
        body = message.body.encode()
        headers = {
            **signed(to.key, message.message_id, int(time.time()), body),
            "content-type": "application/json",
            "user-agent": "imagegate",
        }
        try:
            status = await self._poster.post(to.url, body, headers, seconds=TRY_SECONDS, also=self._origins)
        except FetchFailed as failed:
            if failed.kind is not None:
                _log.warning("ssrf_blocked", host=failed.host, address=failed.kind)
            return None, failed.message
        return status, None
