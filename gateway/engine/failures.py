"""What a provider's failure means: for the ledger, for the next target, and for the client.

Three tables, one row a case (docs/architecture.md, Certainty). Nothing here knows HTTP routes or stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from config.billed_on_error import BilledOnError
from gateway.errors import GatewayError, InternalError, UpstreamFailed
from gateway.ledger.records import AttemptState
from providers.base import Certainty, Kind, ProviderError

MAX_RETRY_AFTER = 60.0
"""Seconds. Longer hints make SDKs give up silently (Python) or ignore them (Node)."""

_STATES = {
    Certainty.NOT_SENT: AttemptState.RELEASED,
    Certainty.REJECTED: AttemptState.RELEASED,
    Certainty.FAILED: AttemptState.RELEASED,
    Certainty.MAYBE_ACCEPTED: AttemptState.UNKNOWN,
    Certainty.ANSWERED: AttemptState.UNKNOWN,
}

_OUT_OF_MONEY = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "organization_usage_limit_exceeded",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""The provider's codes for an account that must be paid or raised; told on as they are."""

OPERATORS = frozenset({Kind.AUTH, Kind.NOT_FOUND})
"""Kinds that only the gateway's operator can mend; worth a log line of their own."""

_CLEAR = frozenset({Certainty.NOT_SENT, Certainty.REJECTED, Certainty.FAILED})


@dataclass(frozen=True, slots=True)
class _Face:
    """How a failure is shown. ``own`` means that the upstream's type and code stand, where it gave any."""

    status: int | None
    type: str
    code: str | None
    text: str
    retryable: bool | None = None
    own: bool = False


_MODERATION = (
    "Your request was rejected by the safety system of provider '{provider}'. If you believe this is an "
    "error, contact your gateway's operator and include the request ID {request_id}."
)

_KINDS = {
    Kind.MODERATION: _Face(400, "image_generation_user_error", "moderation_blocked", _MODERATION, False),
    Kind.INVALID: _Face(400, "invalid_request_error", None, "{message}", False, own=True),
    Kind.NOT_FOUND: _Face(
        502,
        "server_error",
        "upstream_model_not_found",
        "{said} The model that this gateway is configured to use there cannot be had. "
        "This is for the gateway's operator to mend. Request ID {request_id}.",
        False,
    ),
    Kind.AUTH: _Face(
        502,
        "server_error",
        "upstream_auth_failed",
        "Provider '{provider}' refused the gateway's own credentials; your key is fine. This is for the "
        "gateway's operator to mend. Request ID {request_id}.",
    ),
    Kind.THROTTLED: _Face(429, "rate_limit_error", "rate_limit_exceeded", "{said}", own=True),
    Kind.OVERLOADED: _Face(503, "server_error", "server_is_overloaded", "{said}", own=True),
    Kind.TIMEOUT: _Face(
        504,
        "server_error",
        "upstream_timeout",
        "Provider '{provider}' did not answer in time. It may have made (and billed) the picture. "
        "Request ID {request_id}.",
        False,
    ),
    Kind.EMPTY: _Face(
        502,
        "server_error",
        "empty_result",
        "Provider '{provider}' answered without a picture. Request ID {request_id}.",
        False,
    ),
    Kind.BAD_PAYLOAD: _Face(
        502,
        "server_error",
        "bad_upstream_payload",
        "Provider '{provider}' sent an answer that cannot be used: {message} Request ID {request_id}.",
        False,
    ),
    Kind.SERVER: _Face(None, "server_error", None, "{said} Request ID {request_id}.", own=True),
}

_UNKNOWN = _Face(
    502,
    "server_error",
    "upstream_unknown",
    "Provider '{provider}' broke off without saying whether it made the picture, which may have been "
    "billed. Request ID {request_id}.",
    False,
)

_ACCOUNT_EMPTY = _Face(
    429,
    "insufficient_quota",
    "insufficient_quota",
    "The gateway's own account at provider '{provider}' has no credit left or has reached its limit there: "
    "{message} This is for the gateway's operator to mend. Request ID {request_id}.",
    False,
    own=True,
)

_UNREACHABLE = _Face(
    502,
    "server_error",
    "upstream_unreachable",
    "{said} No picture was asked for. Request ID {request_id}.",
)


def state_after(error: ProviderError) -> AttemptState:
    """The ledger state of an attempt that ended with ``error`` and without reported usage.

    ``billed`` is what the account's terms say of this failure (:func:`billed_by`).
    """
    if error.billed is not None:
        return AttemptState.RELEASED if error.billed == "no" else AttemptState.UNKNOWN
    return _STATES[error.certainty]


def billed_by(terms: BilledOnError, error: ProviderError) -> str | None:
    """What ``terms`` say of a failure: "yes", "no", "unknown", or None where its certainty says it all. A
    safety refusal that its details place before any work costs nothing anywhere."""
    if error.billed is not None:
        return error.billed
    if error.kind is Kind.MODERATION:
        before_work = (error.details or {}).get("moderation_stage") == "input"
        return "no" if before_work else terms.moderation
    return terms.failed if error.certainty is Certainty.FAILED else None


def is_clear(error: ProviderError) -> bool:
    """Whether it clearly made nothing, and was not refused for its content."""
    return error.certainty in _CLEAR and error.kind is not Kind.MODERATION


def missing_pictures(made: int, asked: int, request_id: str) -> UpstreamFailed:
    """Why a stream ends with fewer pictures than were asked for; those that were made are with the client."""
    return UpstreamFailed(
        f"{made} of {asked} pictures were made, then the provider ended its stream. Request ID {request_id}.",
        status=502,
        code="pictures_missing",
        retryable=False,
    )


def no_second_hold(first: GatewayError) -> GatewayError:
    """The first failure of a request whose next attempt did not fit under a limit."""
    first.code = "budget_prevents_failover"
    first.message += " The next provider was not tried, since your limits leave no room for a second attempt."
    return first


def gateway_failed(request_id: str) -> GatewayError:
    """A fault of our own. A picture may have been made, so none is worth a retry."""
    return InternalError(f"The gateway failed. Request ID {request_id}.", retryable=False)


def to_client(error: ProviderError, provider: str, request_id: str) -> UpstreamFailed:
    """OpenAI's words for it. A failure that is clear stays retryable for the client's SDK; one after which
    money may have been spent carries ``x-should-retry: false``."""
    face = _face(error)
    said = _sentence(error.message)
    if f"provider '{provider}'" not in said.lower():
        said = f"Provider '{provider}': {said}"
    own_type, own_code = (error.type, error.code) if face.own else (None, None)
    if own_code is not None and not _AS_AT_OPENAI.fullmatch(own_code):
        own_code = None
    return UpstreamFailed(
        face.text.format(
            provider=provider, message=_sentence(error.message), said=said, request_id=request_id
        ),
        status=_status(face, error.status),
        type=own_type or face.type,
        code=own_code or face.code,
        param=error.param if error.kind is Kind.INVALID else None,
        retryable=face.retryable,
        retry_after=error.retry_after,
        extra={"moderation_details": dict(error.details)} if error.details is not None else None,
    )


def _face(error: ProviderError) -> _Face:
    if error.code in _OUT_OF_MONEY and error.certainty is Certainty.REJECTED:
        return _ACCOUNT_EMPTY
    if error.certainty is Certainty.MAYBE_ACCEPTED and error.kind is not Kind.TIMEOUT:
        return _UNKNOWN
    if error.certainty is Certainty.NOT_SENT and error.kind not in (Kind.OVERLOADED, Kind.INVALID, Kind.AUTH):
        return _UNREACHABLE
    return _KINDS[error.kind]


_AS_AT_OPENAI = re.compile(r"[a-z][a-z0-9_]*")
"""How OpenAI spells its codes, which clients compare. Azure repeats the status there, Google and AWS name
their exceptions: these stay in the books."""

_REQUEST_STATUSES = frozenset({400, 409, 413, 415, 422})


def _status(face: _Face, upstream: int | None) -> int:
    """The face's own, except that a refused request and a plain failure keep the upstream's."""
    if face.status == 400 and face.own and upstream in _REQUEST_STATUSES:
        return upstream or 400
    if face.status is None:
        return upstream if upstream is not None and 500 <= upstream <= 599 else 502
    return face.status


def _sentence(message: str) -> str:
    text = message.strip() or "no reason given."
    return text if text[-1] in ".!?" else text + "."
