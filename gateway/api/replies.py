"""The smallest ways to answer an ASGI request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from litestar.types import Receive, Send

Headers = list[tuple[bytes, bytes]]

LINGER_IDLE = 1.0
LINGER_TOTAL = 5.0
"""Seconds for which bytes of a refused body are still read and dropped, so that the client gets to read the
refusal instead of a reset connection."""


def json_headers(length: int) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]


def encoded(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Headers:
    """Header lines as ASGI wants them: lower-case names, latin-1."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs]


async def reply(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def reply_and_close(receive: Receive, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer before the request's body was read to its end, and close the connection.

    Closing a socket with unread bytes resets it, and the client would lose the answer it has not read yet:
    so the answer goes out, what still comes is dropped for a moment, then the connection is closed.
    """
    headers = [*headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER_TOTAL):
            while True:
                message = await asyncio.wait_for(receive(), LINGER_IDLE)
                if message["type"] != "http.request" or not message["more_body"]:
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
