"""The end of a streamed answer that faces the client: whole events in, bytes and pings out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.errors import GatewayError
from gateway.images.events import PING, encode
from gateway.media.composed import Body, Joined, Lent

SILENCE = 15.0
"""Seconds without an event after which a comment keeps the connection alive; proxies cut at 60."""


class Outlet:
    """The producer puts events and ends the stream once; the client's side reads ``chunks`` once.

    Events lie in spools, so a client that reads slowly holds up neither the upstream nor anyone's memory.
    Final ones are freed when both sides are through with the stream, since a client that leaves before its
    last byte may come back for them.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Body | bytes | None] = asyncio.Queue()
        self._first = asyncio.Event()
        self._refused: GatewayError | None = None
        self._started = False
        self._closed = False
        self._produced = False
        self._finals: list[Body] = []
        self.relayed = False
        """Whether an event was put in: from then on no other target's may follow."""

    async def opened(self, patience: float) -> GatewayError | None:
        """Wait for the first event, or for ``patience`` seconds. An error that came first is returned, to be
        told with a status line of its own; after this call errors become events."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), patience)
        if self._refused is None:
            self._started = True
        return self._refused

    def put(self, event: Body, *, final: bool = False) -> None:
        """``final``: it completes a picture."""
        self.relayed = True
        if final:
            self._finals.append(event)
            event = Lent(event)
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
            self._queue.put_nowait(_error_event(error))
            self._queue.put_nowait(None)
        self._first.set()

    def end(self) -> None:
        self._queue.put_nowait(None)
        self._first.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                item = await asyncio.wait_for(self._queue.get(), SILENCE)
            except TimeoutError:
                yield PING
                continue
            if item is None:
                return
            if isinstance(item, bytes):
                yield item
                continue
            try:
                # A spool that fails now has half an event out: only a cut tells the client that it is not
                # whole.
                async for chunk in item.chunks():
                    yield chunk
            finally:
                item.close()

    def whole(self, failure: GatewayError | None) -> Body | None:
        """All that completes pictures, and the error at the end where there is one: what the stream says
        again to who comes back. None where no picture was completed. It is freed with the stream."""
        return (
            Joined(self._finals, b"" if failure is None else _error_event(failure)) if self._finals else None
        )

    def produced(self) -> None:
        """Nothing more is put, and nobody else asks for :attr:`whole` before the client's side is closed."""
        self._produced = True
        self._free()

    def _free(self) -> None:
        if self._produced and self._closed:
            for event in self._finals:
                event.close()
            self._finals.clear()

    def close(self) -> None:
        """The client has everything or is gone; what still comes is dropped."""
        self._closed = True
        self._free()
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if item is not None and not isinstance(item, bytes):
                item.close()


def _error_event(error: GatewayError) -> bytes:
    return encode("error", {"type": "error", "error": error_object(error)})


def error_object(error: GatewayError) -> dict[str, object]:
    """OpenAI's ``error`` object: four keys always, extras behind them."""
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        **error.extra,
    }
