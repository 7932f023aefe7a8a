"""The end of a streamed answer that faces the client: whole events in, bytes and pings out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.errors import GatewayError
from gateway.images.events import PING, encode
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom

SILENCE = 15.0
"""Seconds without an event after which a comment keeps the connection alive; proxies cut at 60."""
_END = object()


class Outlet:
    """The producer puts events and ends the stream once; the client's side reads ``chunks`` once.

    Events lie in spools, so a client that reads slowly holds up neither the upstream nor anyone's memory.
    """

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._queue: asyncio.Queue[object] = asyncio.Queue()
        self._first = asyncio.Event()
        self._refused: GatewayError | None = None
        self._started = False
        self._closed = False
        self.relayed = False
        """Whether an image event was put: from then on no other target may be tried."""

    async def opened(self, patience: float) -> GatewayError | None:
        """Wait for the first event, or for ``patience`` seconds. An error that came first is returned, to be
        told with a status line of its own; after this call errors become events."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), patience)
        if self._refused is None:
            self._started = True
        return self._refused

    def put(self, event: Spool) -> None:
        if self._closed:
            event.close()
        else:
            self._queue.put_nowait(event)
        self._first.set()

    def fail(self, error: GatewayError) -> None:
        """End the stream with an error: as the answer's status while nothing was sent, else as an event."""
        if not self._started and self._queue.empty():
            self._refused = error
        else:
            self._queue.put_nowait(encode("error", {"type": "error", "error": error_object(error)}))
            self._queue.put_nowait(_END)
        self._first.set()

    def end(self) -> None:
        self._queue.put_nowait(_END)
        self._first.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                item = await asyncio.wait_for(self._queue.get(), SILENCE)
            except TimeoutError:
                yield PING
                continue
            if item is _END:
                return
            if isinstance(item, bytes):
                yield item
            elif isinstance(item, Spool):
                try:
                    async for chunk in item.chunks():
                        yield chunk
                except SpoolFailed:
                    # Half an event is out: only a cut tells the client that it is not whole.
                    raise
                finally:
                    item.close()

    def close(self) -> None:
        """The client has everything or is gone; what still comes is dropped."""
        self._closed = True
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if isinstance(item, Spool):
                item.close()


def error_object(error: GatewayError) -> dict[str, object]:
    """OpenAI's ``error`` object: four keys always, extras behind them."""
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        **error.extra,
    }
