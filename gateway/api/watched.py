"""Times every request and gives it its span, by route and never by raw path.

A pure ASGI layer around the application, inside the one that gives requests their ids. It is there only where
somebody reads metrics or traces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)
from opentelemetry.context import get_current
from opentelemetry.util.types import AttributeValue

from gateway.api.request_ids import mark_of
from gateway.engine.answer import CLIENT_GONE
from gateway.telemetry import meters
from gateway.telemetry.tracing import Tracing, failed
from providers.base import Operation

UNWATCHED = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "_OTHER"
_SERVER_ERROR = 500
_IMAGES = tuple(f"/images/{operation.value}" for operation in Operation)


class RouteNames:
    """``routes`` are all paths, each with whether it also takes what lies below. Few names come out, whatever
    clients ask for."""

    def __init__(self, routes: Mapping[str, bool]) -> None:
        self._exact = frozenset(path.rstrip("/") or "/" for path in routes)
        mounts = (path.rstrip("/") for path, is_mount in routes.items() if is_mount)
        self._mounts = sorted(mounts, key=len, reverse=True)

    def of(self, path: str) -> str | None:
        """The route's name; None where no route takes the path."""
        path = path.rstrip("/") or "/"
        if path in self._exact:
            return path
        for mount in self._mounts:
            if path.startswith(f"{mount}/"):
                tail = next((image for image in _IMAGES if path.endswith(image)), "")
                return f"{mount}/{{id}}{tail}"
        return None

    def is_images(self, route: str | None) -> bool:
        return route is not None and route.endswith(_IMAGES)


class Watched:
    def __init__(self, app: ASGIApp, names: RouteNames, tracing: Tracing | None) -> None:
        self._app = app
        self._names = names
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] in UNWATCHED:
            await self._app(scope, receive, send)
            return
        route = self._names.of(scope["path"])
        is_images = self._names.is_images(route)
        if is_images:
            meters.requests_in_flight.add(1)
        try:
            await self._timed(scope, receive, send, route)
        finally:
            if is_images:
                meters.requests_in_flight.add(-1)

    async def _timed(self, scope: HTTPScope, receive: Receive, send: Send, route: str | None) -> None:
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        asked = {"http.request.method": method, "url.scheme": scope["scheme"]}
        if route is not None:
            asked["http.route"] = route
        wire = _Wire(receive, send)
        begun, context = perf_counter(), None
        try:
            if self._tracing is None:
                await self._app(scope, wire.receive, wire.send)
                return
            name = method if route is None else f"{method} {route}"
            attributes = {**asked, "imagegate.request.id": mark_of(scope).request_id}
            with self._tracing.request(name, _context_of(scope), attributes) as span:
                context = get_current()
                await self._app(scope, wire.receive, wire.send)
                span.set_attributes(wire.told())
                if wire.status >= _SERVER_ERROR:
                    failed(span, str(wire.status))
        finally:
            labels: dict[str, AttributeValue] = {**asked, "http.response.status_code": wire.status}
            if wire.status >= _SERVER_ERROR:
                labels["error.type"] = str(wire.status)
            meters.http_duration.record(perf_counter() - begun, labels, context)


class _Wire:
    """Counts the bytes of both bodies on their way. A client that left before the status has that of one."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.status = CLIENT_GONE
        self._receive = receive
        self._send = send
        self._in = self._out = 0

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        message = await self._receive()
        if message["type"] == "http.request":
            self._in += len(message.get("body", b""))
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self._out += len(message.get("body", b""))
        return self._send(message)

    def told(self) -> dict[str, int]:
        return {
            "http.response.status_code": self.status,
            "http.request.body.size": self._in,
            "http.response.body.size": self._out,
        }


def _context_of(scope: HTTPScope) -> dict[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
