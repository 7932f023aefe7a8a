"""``/livez``: the process answers. ``/readyz``: it can take paid work now, and with which configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.config_stands import InForce
from gateway.api.errors import not_allowed
from gateway.api.operators import Operators
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.engine.running import Running

Ready = Callable[[], Awaitable[bool]]


class Health:
    """Tells the liveness, which depends on nothing."""

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        word = await self._trouble()
        status = HTTPStatus.OK if word is None else HTTPStatus.SERVICE_UNAVAILABLE
        body = msgspec.json.encode({"status": word or "ok", **self._besides(scope)})
        await reply(send, int(status), [*json_headers(len(body)), (b"cache-control", b"no-store")], body)

    async def _trouble(self) -> str | None:
        return None

    def _besides(self, scope: HTTPScope) -> dict[str, Any]:
        return {}


class Readiness(Health):
    """Tells whether requests should be sent here: not while the stores are away, nor once the drain has
    begun. A configuration that was refused changes nothing about that: the one before is in force."""

    def __init__(self, ready: Ready, running: Running, config: InForce | None, operators: Operators) -> None:
        self._ready = ready
        self._running = running
        self._config = config
        self._operators = operators

    async def _trouble(self) -> str | None:
        if self._running.draining:
            return "draining"
        return None if await self._ready() else "unavailable"

    def _besides(self, scope: HTTPScope) -> dict[str, Any]:
        if self._config is None:
            return {}
        now = self._config.now
        return {"config": now.whole() if self._operators.include(scope["headers"]) else now.public()}
