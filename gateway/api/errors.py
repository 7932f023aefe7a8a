"""The one place where an exception becomes OpenAI's error envelope.

::

    GatewayError (gateway/errors.py)      its own status, type, param, code and headers
    Litestar's HTTPException              404 and 405 in our words, the rest by status
    msgspec / Pydantic validation         400 with the field as ``param``
    anything else                         500 ``server_error``; its traceback goes to the log only

The body is always ``{"error": {message, type, param, code}}``, the four keys always there. ``x-should-retry``
tells the official SDKs what to do; ``retry-after`` is whole seconds, at most 60: longer waits are told in the
message, since an SDK would hold its caller's thread for that long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import pydantic
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from gateway.api.replies import Headers, encoded, json_headers
from gateway.api.request_ids import Mark, mark_of
from gateway.api.unsupported import explain
from gateway.errors import GatewayError, InternalError, InvalidRequest, MethodNotAllowed

LONGEST_WAIT = 60
"""Seconds in ``retry-after``."""

_log = structlog.get_logger("imagegate.api")
_TYPES: Mapping[int, str] = {HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error"}
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """``headers`` hold the content type and length too."""

    status: int
    headers: Headers
    body: bytes


def as_gateway_error(error: Exception, method: str, mark: Mark) -> GatewayError:
    """Any exception as one of the tree; the unknown are logged here, with their traceback."""
    if isinstance(error, GatewayError):
        if isinstance(error, InternalError):
            _log.error("internal_error", exc_info=error, request_id=mark.request_id)
        return error
    if isinstance(error, NotFoundException):
        return explain(method, mark.path)
    if isinstance(error, MethodNotAllowedException):
        return not_allowed(method, mark.path, (error.headers or {}).get("allow", ""))
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _from_litestar(error)
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest(str(error), code="invalid_value")
    if isinstance(error, pydantic.ValidationError):
        return _from_pydantic(error)
    _log.error("unhandled_error", exc_info=error, request_id=mark.request_id)
    return InternalError(
        "The gateway had an error while processing your request. Its log has the cause under the request ID "
        f"{mark.request_id}; tell it to the gateway's operator.",
        retryable=False,
    )


def not_allowed(method: str, path: str, allowed: str) -> MethodNotAllowed:
    """405 with its ``Allow`` header."""
    return MethodNotAllowed(
        f"Not allowed to {method} on {path}. Allowed: {allowed}.", headers={"allow": allowed}
    )


def answer(error: GatewayError) -> ErrorAnswer:
    """Status, headers and body; never empty."""
    message, wait = error.message, error.retry_after
    if wait is not None and wait > LONGEST_WAIT:
        message = f"{message} Please try again in {math.ceil(wait)} seconds."
    body = _encoder.encode(
        {
            "error": {
                "message": message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
                **{key: value for key, value in error.extra.items() if key not in _OWN_KEYS},
            }
        }
    )
    headers = json_headers(len(body)) + encoded(error.headers)
    if error.retryable is not None:
        headers.append((b"x-should-retry", b"true" if error.retryable else b"false"))
    if wait is not None:
        headers += _wait_headers(max(wait, 0.0))
    return ErrorAnswer(int(error.status), headers, body)


_OWN_KEYS = frozenset({"message", "type", "param", "code"})


def _wait_headers(wait: float) -> Headers:
    seconds = min(max(math.ceil(wait), 1), LONGEST_WAIT)
    headers = [(b"retry-after", b"%d" % seconds)]
    if wait <= LONGEST_WAIT:
        headers.append((b"retry-after-ms", b"%d" % max(math.ceil(wait * 1000), 1)))
    return headers


def _from_litestar(error: HTTPException) -> GatewayError:
    param, message = None, str(error.detail)
    if isinstance(error.extra, list) and error.extra and isinstance(error.extra[0], Mapping):
        first = error.extra[0]
        param = str(first["key"]) if "key" in first else None
        message = str(first.get("message", message))
    return InvalidRequest(
        message or HTTPStatus(error.status_code).phrase,
        param=param,
        status=error.status_code,
        type=_TYPES.get(error.status_code),
        headers={
            name: value for name, value in (error.headers or {}).items() if name.lower() != "content-type"
        },
    )


def _from_pydantic(error: pydantic.ValidationError) -> GatewayError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    return InvalidRequest(f"{param or 'body'}: {first['msg']}", param=param, code="invalid_value")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's face of :func:`answer`, for every route and for what no route takes."""
    scope = request.scope
    known = as_gateway_error(error, scope["method"], mark_of(scope))
    told = answer(known)
    return Response(
        told.body,
        status_code=told.status,
        media_type="application/json",
        headers={
            name.decode(): value.decode("latin-1")
            for name, value in told.headers
            if name not in (b"content-type", b"content-length")
        },
    )
