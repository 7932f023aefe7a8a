"""The control address of a running server: what the command line asks it to do with its own ledger.

It listens on a loopback port of its own; the address and the bearer token stand in the data folder's lock
file, which its owner alone may read. One route, ``POST /OPERATION`` with a JSON object; the operations are
those of gateway/ledger/administration.py.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from litestar import Litestar, Request, Response, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

from gateway.errors import GatewayError, InvalidRequest, Unauthenticated

_log = structlog.get_logger("imagegate.control")

LARGEST_BODY = 64 * 1024


Perform = Callable[[str, Mapping[str, object]], Awaitable[dict[str, Any]]]
"""As :meth:`gateway.ledger.administration.Administration.perform`."""


def build_control_app(perform: Perform, token: str) -> Litestar:
    """The app to serve on 127.0.0.1; every call needs ``Authorization: Bearer TOKEN``."""
    expected = f"Bearer {token}".encode()

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        given = connection.headers.get("authorization", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, expected):
            raise Unauthenticated("The control token is missing or wrong.")

    @post("/{operation:path}", status_code=200)
    async def asked(request: Request[Any, Any, Any]) -> dict[str, Any]:
        operation = str(request.path_params["operation"]).strip("/")
        return await perform(operation, _object(await request.body()))

    return Litestar(
        [asked],
        guards=[guard],
        exception_handlers={GatewayError: _refused, HTTPException: _not_understood, Exception: _failed},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=LARGEST_BODY,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return found


def _refused(_: Request[Any, Any, Any], error: GatewayError) -> Response[dict[str, Any]]:
    return _error(int(error.status), error.message, error.param)


def _not_understood(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    return _error(error.status_code, error.detail, None)


def _failed(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    _log.error("control_failed", exc_info=error)
    return _error(500, "The running imagegate failed at this; its log says why.", None)


def _error(status: int, message: str, param: str | None) -> Response[dict[str, Any]]:
    return Response({"error": {"message": message, "param": param}}, status_code=status)
