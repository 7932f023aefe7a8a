"""``/livez``: the process answers. ``/readyz``: it can take paid work now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from litestar.types import HTTPScope, Receive, Send

from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of

Ready = Callable[[], Awaitable[bool]]
_BODIES = {True: b'{"status":"ok"}', False: b'{"status":"unavailable"}'}


class Health:
    """``ready`` None makes it the liveness answer, which depends on nothing."""

    def __init__(self, ready: Ready | None = None) -> None:
        self._ready = ready

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        good = self._ready is None or await self._ready()
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        body = _BODIES[good]
        await reply(send, int(status), [*json_headers(len(body)), (b"cache-control", b"no-store")], body)
