"""From an engine's :class:`Answer` to the client's socket, chunk by chunk and no faster than it reads."""

from __future__ import annotations

import asyncio

from litestar.types import Receive, Send

from gateway.api.replies import encoded
from gateway.engine.answer import Answer


class Departure:
    """Watches for a client that leaves while it waits. Start it once the request's body has been read."""

    def __init__(self, receive: Receive) -> None:
        self._task = asyncio.ensure_future(_until_gone(receive))

    @property
    def happened(self) -> bool:
        return self._task.done()

    def stop(self) -> None:
        self._task.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def deliver(answer: Answer, departure: Departure, send: Send) -> bool:
    """Send everything, then tell the answer, exactly once, whether the client was given every byte; that is
    returned too. An answer whose chunks fail is cut, which its length or missing end shows the client."""
    complete = False
    try:
        if not departure.happened:
            complete = await _send_all(answer, departure, send)
    finally:
        await answer.delivered(complete)
    return complete


async def _send_all(answer: Answer, departure: Departure, send: Send) -> bool:
    headers = encoded(answer.headers)
    headers.append((b"content-type", answer.content_type.encode("latin-1")))
    if answer.length is None:
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    else:
        headers.append((b"content-length", b"%d" % answer.length))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if departure.happened:
            return False
    await asyncio.sleep(0)  # lets a departure that was already noticed by the socket be told
    gone = departure.happened
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return not gone
