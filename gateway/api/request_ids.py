"""Every answer says who it is: ``x-request-id`` and the few headers that OpenAI sends with each.

A pure ASGI layer around the whole application, so that 404s, 405s and failures carry them too.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from secrets import token_hex
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

STATE_KEY = "imagegate_mark"

_EXPOSED = (
    b"X-Request-ID, openai-processing-ms, location, retry-after, x-should-retry, x-imagegate-provider, "
    b"x-imagegate-model, x-imagegate-attempts, x-imagegate-cost-usd, x-imagegate-size, "
    b"x-imagegate-adjustments, x-imagegate-partial, x-imagegate-replayed, x-imagegate-downgraded, "
    b"x-imagegate-overhead-ms"
)
_FIXED = (
    (b"openai-version", b"2020-10-01"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-expose-headers", _EXPOSED),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """``request_id`` is ``req_`` + 32 hex digits, ``started`` a ``perf_counter`` in seconds, ``path`` the one
    that was asked for, before routing shortened it."""

    request_id: str
    started: float
    path: str


def mark_of(scope: Scope) -> Mark:
    """What :class:`RequestIds` gave this request, or a fresh one where the layer is not there."""
    mark: Mark = scope["state"].get(STATE_KEY) or _new_mark(scope)
    return mark


def _new_mark(scope: Scope) -> Mark:
    return Mark(f"req_{token_hex(16)}", perf_counter(), scope["path"])


class RequestIds:
    """``scope["state"]`` carries the :class:`Mark` inwards, the response headers carry it outwards."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        mark = _new_mark(scope)
        scope.setdefault("state", {})[STATE_KEY] = mark

        def stamped(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                elapsed = round((perf_counter() - mark.started) * 1000)
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", mark.request_id.encode()),
                    (b"openai-processing-ms", b"%d" % elapsed),
                    *_FIXED,
                ]
            return send(message)

        await self._app(scope, receive, stamped)
