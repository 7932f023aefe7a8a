"""From an engine's :class:`Answer` to the client's socket, chunk by chunk and no faster than it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from litestar.types import Message, Receive, Send

from gateway.api.replies import encoded
from gateway.engine.answer import Answer


class AnswerCut(Exception):
    """An answer's bytes could not be had to their end; its head has gone out, so nothing else can be said."""


class SlowReader(Exception):
    """The client took nothing of its answer for too long."""


_log = structlog.get_logger("imagegate.api")


class Departure:
    """Watches for a client that leaves while it waits. Start it once the request's body has been read."""

    def __init__(self, receive: Receive) -> None:
        self._task = asyncio.ensure_future(_until_gone(receive))
        self._stopped = False

    def then(self, act: Callable[[], None]) -> None:
        """Have something done when the client leaves before :meth:`stop`."""

        def done(task: asyncio.Task[None]) -> None:
            if not self._stopped and not task.cancelled():
                act()

        self._task.add_done_callback(done)

    @property
    def happened(self) -> bool:
        return self._task.done()

    def stop(self) -> None:
        """From now on it is no departure: servers say the same of a connection whose answer is complete."""
        self._stopped = True
        self._task.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def deliver(
    answer: Answer, departure: Departure, send: Send, stall: float, abort: Callable[[], object]
) -> bool:
    """Send everything, then tell the answer, exactly once, whether the client was given every byte; that is
    returned too. Raises :class:`AnswerCut` for an answer whose chunks fail; returning then without an end
    makes the server close the connection, which is how the client learns of it. A client that takes nothing
    for ``stall`` seconds is cut off with ``abort``, since its spool would be held for ever."""
    complete = False
    try:
        if not departure.happened:
            complete = await _send_all(answer, departure, _impatient(send, stall))
            if complete:
                departure.stop()
    except SlowReader:
        _log.warning("slow_reader", seconds=stall)
        abort()
    except Exception as error:
        raise AnswerCut from error
    finally:
        await answer.delivered(complete)
    return complete


def _impatient(send: Send, stall: float) -> Send:
    """``send`` that raises :class:`SlowReader` when the socket takes nothing for ``stall`` seconds."""

    async def sent(message: Message) -> None:
        try:
            async with asyncio.timeout(stall):
                await send(message)
        except TimeoutError:
            raise SlowReader from None

    return sent


async def _send_all(answer: Answer, departure: Departure, send: Send) -> bool:
    headers = encoded(answer.headers)
    headers.append((b"content-type", answer.content_type.encode("latin-1")))
    if answer.length is None:
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    else:
        headers.append((b"content-length", b"%d" % answer.length))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    left = answer.length
    async for chunk in answer.chunks:
        for piece in _with_small_end(chunk, left):
            if departure.happened:
                return False
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            # A reader that keeps up would otherwise be given the whole answer in one turn of the loop.
            await asyncio.sleep(0)
        left = None if left is None else left - len(chunk)
    if answer.length is None:
        await asyncio.sleep(0)  # lets a departure that was already noticed by the socket be told
    gone = answer.length is None and departure.happened
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return not gone


_END = 16 * 1024


def _with_small_end(chunk: bytes, left: int | None) -> tuple[bytes, ...]:
    """The last chunk of a body whose length is known, in two pieces. A client that has all of it may be gone
    before this is noticed, and must not be taken for one that left too early: so what decides is whether it
    was there when the last piece went out, which is too small to wait for its reader."""
    if left != len(chunk) or left <= _END:
        return (chunk,)
    return chunk[:-_END], chunk[-_END:]
