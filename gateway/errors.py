"""Everything that can go wrong in the gateway, as one tree that can be caught at the right height.

::

    GatewayError                    status · message · type · param · code · retryable · headers
      InvalidRequest          400   the caller's words are wrong (images/, api/)
        PayloadTooLarge       413
        UnsupportedMedia      415
        RequestTimeout        408   the body did not arrive in time
      Unauthenticated         401
      Forbidden               403
      NotFound                404
      MethodNotAllowed        405
      SpendLimitReached       429   money; a retry cannot cure it
      RateLimited             429   speed; waiting cures it
      Unavailable             503   nothing was sent; a retry may find better times
      UpstreamFailed          4xx/5xx   a provider's failure, told in OpenAI's words (engine/)
      InternalError           500

``gateway/api/errors.py`` turns any of them into OpenAI's envelope; nobody else writes one. Messages are for
the caller: they say what to do, and never hold a key, a prompt or a path of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus


class GatewayError(Exception):
    """The root. ``retryable`` becomes ``x-should-retry``; None leaves the header out."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    type: str = "server_error"
    code: str | None = None
    retryable: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
        noted: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        """Further keys of the ``error`` object, e.g. ``moderation_details``."""
        self.noted = dict(noted or {})
        """For the request's log line alone: what operators want to know of it, without the caller's words."""
        if code is not None:
            self.code = code
        if type is not None:
            self.type = type
        if status is not None:
            self.status = status
        if retryable is not None:
            self.retryable = retryable


class InvalidRequest(GatewayError):
    status = HTTPStatus.BAD_REQUEST
    type = "invalid_request_error"
    retryable = False


class PayloadTooLarge(InvalidRequest):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMedia(InvalidRequest):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class RequestTimeout(InvalidRequest):
    """The client's body did not arrive in time; sending it again, faster, is right."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_timeout"
    retryable = True


class Unauthenticated(GatewayError):
    status = HTTPStatus.UNAUTHORIZED
    type = "invalid_request_error"
    retryable = False


class Forbidden(GatewayError):
    status = HTTPStatus.FORBIDDEN
    type = "invalid_request_error"
    retryable = False


class NotFound(GatewayError):
    status = HTTPStatus.NOT_FOUND
    type = "invalid_request_error"
    retryable = False


class MethodNotAllowed(GatewayError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    type = "invalid_request_error"
    code = "method_not_allowed"
    retryable = False


class SpendLimitReached(GatewayError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "insufficient_quota"
    code = "insufficient_quota"
    retryable = False


class RateLimited(GatewayError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class Unavailable(GatewayError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "server_error"
    retryable = True


class UpstreamFailed(GatewayError):
    status = HTTPStatus.BAD_GATEWAY
    type = "server_error"


class InternalError(GatewayError):
    type = "server_error"
