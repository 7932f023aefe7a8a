"""``GET /metrics``: everything that is counted, for Prometheus.

It tells what is spent and by whom, so it takes the token of ``server.metrics_token``, unless the gateway has
none and nobody but this machine can ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from litestar.types import HTTPScope, Receive, Send

from gateway.api.errors import not_allowed
from gateway.api.operators import Operators
from gateway.api.replies import reply
from gateway.api.request_ids import mark_of
from gateway.errors import NotFound, Unauthenticated

Look = Callable[[], Awaitable[None]]
Exposition = Callable[[str], tuple[bytes, str]]
"""From an ``Accept`` header to a body and its type. It may block."""


class Metrics:
    """``look`` brings what stands up to date, ``text`` is what is told; None: it is not told here, since
    nothing would keep others from reading it."""

    def __init__(self, look: Look | None, text: Exposition | None, operators: Operators) -> None:
        self._look = look
        self._text = text
        self._operators = operators

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        if self._text is None:
            raise NotFound(
                "Metrics are not told here: the gateway can be reached from other machines (server.host, "
                "trusted_proxies or public_url) and has no server.metrics_token. Set one, and send it as "
                "Authorization: Bearer.",
                code="metrics_off",
            )
        if not self._operators.include(scope["headers"]):
            raise Unauthenticated(
                "Metrics need the gateway's metrics token (server.metrics_token), sent as "
                "Authorization: Bearer. Keys of projects are not taken here.",
                code="invalid_metrics_token",
            )
        if self._look is not None:
            await self._look()
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        body, content_type = await asyncio.to_thread(self._text, accept)
        lines = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept"),
        ]
        await reply(send, 200, lines, b"" if scope["method"] == "HEAD" else body)
