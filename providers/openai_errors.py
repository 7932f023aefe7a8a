"""What an upstream's refusal in OpenAI's dialect means: kind, certainty, and its words made fit to be shown.

The rules, first match first:

====================================  ====================  ==============================================
sign                                  kind                  certainty
====================================  ====================  ==============================================
408, 504                              timeout               maybe_accepted: both say that somebody stopped
                                                            waiting, not that the work stopped
3xx                                   not_found             rejected: redirects are not followed
4xx, a moderation code                moderation            rejected; ``details`` say whether it was the
                                                            finished picture that was refused
4xx, our account is out of money      auth                  rejected: only its owner can cure that, and a
  or shut                                                   cool-down as for ``throttled`` would hide it
any other 4xx                         by status             rejected
5xx without the provider's envelope   server, overloaded    maybe_accepted: an intermediary speaks
5xx with a code of a gateway like us  server                maybe_accepted: unclear outcomes behind it
503 with an overload code             overloaded            rejected
any other 5xx in the envelope         server, overloaded    failed
====================================  ====================  ==============================================

What each certainty means is in docs/architecture.md, Azure's words for a filter in docs/providers/azure.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from providers import rate_headers
from providers.base import Certainty, Kind, ProviderError
from providers.refusing import BY_STATUS, WHAT_IT_DID
from providers.scrub import Scrubber

_MODERATION = frozenset(
    {
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "contentfilter",
        "responsibleaipolicyviolation",
        "image_generation_content_policy_violation",
    }
)
_ACCOUNT = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "invalid_api_key",
        "organization_usage_limit_exceeded",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
_NO_SUCH_MODEL = frozenset({"model_not_found", "deploymentnotfound", "deployment_not_found"})
_OVERLOAD = frozenset({"server_is_overloaded", "slow_down", "overloaded", "overloaded_error"})
_UNCLEAR = frozenset({"upstream_unknown", "upstream_timeout", "empty_result", "bad_upstream_payload"})
"""Codes of a gateway like this one, asked as an upstream: a picture may have been paid for behind it."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, provider: str, scrub: Scrubber, prompt: str = ""
) -> ProviderError:
    """The error for an answer that is not 2xx. ``headers`` look-ups must ignore case; ``body`` may be cut."""
    error, enveloped = _envelope(body)
    inner = error.get("inner_error", error.get("innererror"))
    inner = inner if isinstance(inner, dict) else {}
    code = _text(error.get("code"))
    codes = {word.lower() for word in (code, _text(error.get("type")), _text(inner.get("code"))) if word}
    kind, certainty = _meaning(status, codes, enveloped, _text(error.get("param")))
    details = _moderation_details(error, inner) if kind is Kind.MODERATION else None

    def shown(value: object) -> str | None:
        text = _text(value)
        return None if text is None else scrub(text, prompt)[:128]

    said = _text(error.get("message"))
    words = f"Provider '{provider}' {WHAT_IT_DID[kind]} (HTTP {status})."
    if said is None:
        message = words
    else:
        # A refused account is the gateway's, not the caller's: the upstream's words alone would mislead.
        said = scrub(said, prompt)
        message = f"{words} {said}" if kind is Kind.AUTH else said
    return ProviderError(
        kind,
        certainty,
        message,
        status=status,
        code=shown(error.get("code")),
        type=shown(error.get("type")),
        param=shown(error.get("param")),
        retry_after=_wait(headers, kind),
        details=details,
        upstream_request_id=request_id(headers),
    )


def _meaning(status: int, codes: set[str], enveloped: bool, param: str | None) -> tuple[Kind, Certainty]:
    if status in (408, 504):
        return Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED
    if status < 400:
        return Kind.NOT_FOUND, Certainty.REJECTED
    if status < 500:
        return _refused(status, codes, param), Certainty.REJECTED
    kind = BY_STATUS.get(status, Kind.SERVER)
    if not enveloped:
        return kind, Certainty.MAYBE_ACCEPTED
    if codes & _MODERATION:
        return Kind.MODERATION, Certainty.FAILED
    if codes & _UNCLEAR:
        return Kind.SERVER, Certainty.MAYBE_ACCEPTED
    if codes & _OVERLOAD:
        return Kind.OVERLOADED, Certainty.REJECTED if status == 503 else Certainty.FAILED
    return kind, Certainty.FAILED


def _refused(status: int, codes: set[str], param: str | None) -> Kind:
    if codes & _MODERATION:
        return Kind.MODERATION
    if codes & _ACCOUNT:
        return Kind.AUTH
    # OpenAI's images endpoints answer 400, param "model", where others answer 404.
    if codes & _NO_SUCH_MODEL or (status == 400 and param == "model" and "invalid_value" in codes):
        return Kind.NOT_FOUND
    return BY_STATUS.get(status, Kind.INVALID)


def _envelope(body: bytes) -> tuple[dict[str, object], bool]:
    """The error object and whether it came in OpenAI's envelope. Other shapes (``{"error": "text"}``,
    ``{"message": …}``, ``{"detail": …}``) give their text, and no proof of who speaks."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}, False
    if not isinstance(document, dict):
        return {}, False
    error = document.get("error")
    if isinstance(error, dict):
        return error, isinstance(error.get("message"), str)
    for value in (error, document.get("message"), document.get("detail")):
        if isinstance(value, str):
            return {"message": value, "code": document.get("code")}, False
    return {}, False


def _text(value: object) -> str | None:
    """Codes are numbers at some hosts."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def _moderation_details(error: Mapping[str, object], inner: Mapping[str, object]) -> dict[str, object] | None:
    """OpenAI's ``moderation_details``, or the same made of Azure's content filter results."""
    given = error.get("moderation_details")
    if isinstance(given, dict):
        stage, listed = _text(given.get("moderation_stage")), given.get("categories")
        names = [name[:64] for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        return {"moderation_stage": (stage or "unknown")[:64], "categories": names[:32]}
    results = inner.get("content_filter_results", inner.get("content_filter_result"))
    if not isinstance(results, dict):
        return None
    hit = [
        str(name)[:64]
        for name, result in results.items()
        if isinstance(result, dict) and (result.get("filtered") is True or result.get("detected") is True)
    ]
    return {"moderation_stage": "unknown", "categories": hit[:32]}


def _wait(headers: Mapping[str, str], kind: Kind) -> float | None:
    """What the upstream says itself, else of a rate limit what its rate headers say."""
    said = retry_after(headers)
    return rate_headers.wait(headers) if said is None and kind is Kind.THROTTLED else said


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from ``retry-after-ms``, else ``retry-after`` as seconds or as a date; None if unreadable."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return max(moment.timestamp() - time.time(), 0.0)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The upstream's own id of the call: OpenAI's header, else Azure's or AWS's."""
    names = ("x-request-id", "apim-request-id", "x-amzn-requestid")
    found = next((headers[name] for name in names if headers.get(name)), None)
    return found[:128] if found else None
