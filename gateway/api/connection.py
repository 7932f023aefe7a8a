"""The server's connections, with what uvicorn leaves open: a deadline and a size for request heads.

Without them a client that sends half a header holds a socket for ever. The deadline of bodies is the intake's
(``server.upload.timeout``), since only it knows how large a body may be.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.api.abort import ABORT

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 1024
LINGER = 1.0
"""Seconds between a refusal and the end of its connection."""

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


_log = structlog.get_logger("imagegate.api")


class Connections(ServerState):
    """What all connections of one server share; ``tasks`` are the requests that are being answered."""

    def __init__(self) -> None:
        super().__init__()
        self.parting = False
        """Whether each connection ends with its next answer."""

    def part(self) -> None:
        """Every answer from now on says ``connection: close``, so that clients come back over a new
        connection, to whoever listens then. Idle connections stay open for what may be on its way."""
        self.parting = True
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.part()

    def abort(self) -> None:
        """Reset all connections, and with them the answers on their way."""
        for connection in list(self.connections):
            connection.transport.abort()


class Connection(HttpToolsProtocol):
    """One client connection. Closes it when a head takes longer than ``HEAD_SECONDS`` or is larger than
    ``HEAD_BYTES``, and answers what is no HTTP in OpenAI's envelope."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn counts the same, but refuses a request late and in plain text.
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._head_timer: TimerHandle | None = None
        self._head_bytes = 0
        self._refused = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self._refuse(
                503,
                "The gateway holds as many connections as it may (server.max_connections). Nothing was sent; "
                "try again in a moment.",
                "too_many_connections",
                b"retry-after: 1\r\nx-should-retry: true\r\n",
                kind="server_error",
            )
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # read and dropped, so that the client can still read its answer
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # A body may follow in the same read, so the head is only too large if it is still not complete.
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(
                431, f"The request's headers are larger than {HEAD_BYTES} bytes.", "headers_too_large"
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][ABORT] = self.transport.abort
        if self._head_timer is None:
            self._expect_head()
            self._head_bytes = 1  # a request has begun, however little of it came with the last one

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()
        if isinstance(self.server_state, Connections) and self.server_state.parting:
            self.part()

    def part(self) -> None:
        """End this connection with the answer that it waits for, if it does."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "This is not a valid HTTP/1.1 request.", "bad_http")

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        _log.warning("slow_client", received=self._head_bytes, seconds=HEAD_SECONDS)
        if self._head_bytes == 0:
            self.transport.close()  # nothing was ever asked, so nothing is answered
        elif self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # the answer before it is still going out; nothing may be written into it
        else:
            self._refuse(
                408,
                f"The request's headers did not arrive within {HEAD_SECONDS:.0f} seconds.",
                "request_timeout",
            )

    def _refuse(
        self,
        status: int,
        message: str,
        code: str,
        more: bytes = b"x-should-retry: false\r\n",
        *,
        kind: str = "invalid_request_error",
    ) -> None:
        self._head_came()
        error = {"message": message, "type": kind, "param": None, "code": code}
        body = msgspec.json.encode({"error": error})
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-content-type-options: nosniff\r\n%bconnection: close\r\n\r\n%b"
            % (status, _REASONS[status], len(body), more, body)
        )
        # Closing at once would reset a connection whose client is still sending, and take the answer from
        # it: our side ends now, the client's a moment later.
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)
