"""A request's body as it arrives, under its limit of bytes."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.types import Receive

from gateway.errors import PayloadTooLarge

KEEP_ALIVE_UNREAD = 64 * 1024
"""A refused body of at most so many bytes is read over by the server and the connection is kept."""


class ClientGone(Exception):
    """The client left before its body was whole: there is nobody to answer."""


class Body:
    """``declared`` is Content-Length, None for a chunked body. :attr:`complete` says whether all of it was
    read, which decides how a refusal leaves the connection."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self._receive = receive
        length = headers.get(b"content-length")
        chunked = b"transfer-encoding" in headers
        self.declared: int | None = int(length) if length is not None else None if chunked else 0
        self.received = 0
        self.complete = self.declared == 0
        self.stalled = b"expect" in headers
        """Whether the rest may never come: nobody waits for it on this connection."""
        self._limit = 0

    @property
    def may_keep_alive(self) -> bool:
        """Whether an answer now may leave the connection open."""
        short = self.declared is not None and self.declared <= KEEP_ALIVE_UNREAD
        return self.complete or (short and not self.stalled)

    def limit(self, limit: int) -> None:
        """Set the limit in bytes. Raises :class:`PayloadTooLarge` when more is declared."""
        self._limit = limit
        if self.declared is not None and self.declared > limit:
            raise _too_large(limit)

    async def read(self) -> bytes:
        """The next bytes, maybe none; look at :attr:`complete` for the end. Raises :class:`ClientGone`."""
        if self.complete:
            return b""
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk = message["body"]
        self.complete = not message["more_body"]
        self.received += len(chunk)
        if self.received > self._limit:
            raise _too_large(self._limit)
        return chunk


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The request's body is larger than the {limit} bytes that this gateway takes.",
        code="request_too_large",
    )
