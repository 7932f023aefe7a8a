"""Times every request and gives it its span, by route and never by raw path.

A pure ASGI layer around the application, inside the one that gives requests their ids. It is there only where
somebody reads metrics or traces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

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
        told = {"http.request.method": scope["method"] if scope["method"] in _METHODS else _OTHER}
        if route is not None:
            told["http.route"] = route
        status = CLIENT_GONE

        def noting(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        begun = perf_counter()
        try:
            if self._tracing is None:
                await self._app(scope, receive, noting)
                return
            name = " ".join(told.values())
            attributes = {
                **told,
                "url.scheme": scope["scheme"],
                "imagegate.request.id": mark_of(scope).request_id,
            }
            with self._tracing.request(name, _context_of(scope), attributes) as span:
                await self._app(scope, receive, noting)
                span.set_attribute("http.response.status_code", status)
                if status >= _SERVER_ERROR:
                    failed(span, str(status))
        finally:
            meters.http_duration.record(perf_counter() - begun, {**told, "http.response.status_code": status})


def _context_of(scope: HTTPScope) -> dict[str, str]:
    return {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
