"""The HTTP server of ``serve``: its socket, its settings, and an end that is ours to decide."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn

from gateway.api.connection import Connection, Connections


class Server(uvicorn.Server):
    """Leaves signals to us: uvicorn closes its listener at the first one, before anybody knows that it will,
    and raises them again once it has stopped, which would end the process before it has settled what runs,
    closed the ledger and given its lock back."""

    def __init__(self, app: object, listener: socket.socket, *, connections: int | None = None) -> None:
        """``connections``: one more at once is refused."""
        super().__init__(_config(app, listener, connections))
        self.connections = self.server_state = Connections()
        self._listener = listener

    async def run_until_closed(self) -> None:
        """Serve until :meth:`close`, and until the last connection has gone."""
        await self.serve([self._listener])

    def close(self) -> None:
        """Listen no more; what is being answered goes on."""
        self.should_exit = True

    async def end(self, serving: asyncio.Task[None], patience: float) -> None:
        """Wait so many seconds for the connections of a closed server to go; what is left is reset."""
        await asyncio.wait([serving], timeout=patience)
        if not serving.done():
            # uvicorn would tell of each answer that is cancelled.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            self.should_exit = self.force_exit = True
            self.connections.abort()
        await serving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: object, listener: socket.socket, connections: int | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        fd=listener.fileno(),
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        # server.trusted_proxies decides whom to believe; uvicorn would believe every loopback peer.
        proxy_headers=False,
        limit_concurrency=connections,
        # Above the idle time of the usual load balancers (60 s), so that they close first.
        timeout_keep_alive=75,
    )


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError with words for the operator."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Choose another port with --port (0 picks a free one)."
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """How the gateway is reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"
