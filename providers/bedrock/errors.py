"""What AWS's exceptions mean. Their name comes in ``x-amzn-ErrorType``, their text as ``{"message": …}``.

The table of exceptions was read in botocore's service model; the header, and the names that belong to
signatures and tokens, are recalled (docs/providers/bedrock.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from providers.base import Certainty, Kind, ProviderError
from providers.openai_errors import refusal as by_status
from providers.openai_errors import request_id, retry_after
from providers.refusing import WHAT_IT_DID
from providers.scrub import Scrubber

_MEANING: Mapping[str, tuple[Kind, Certainty]] = {
    "ValidationException": (Kind.INVALID, Certainty.REJECTED),
    "ServiceQuotaExceededException": (Kind.THROTTLED, Certainty.REJECTED),
    "AccessDeniedException": (Kind.AUTH, Certainty.REJECTED),
    "UnrecognizedClientException": (Kind.AUTH, Certainty.REJECTED),
    "InvalidSignatureException": (Kind.AUTH, Certainty.REJECTED),
    "IncompleteSignatureException": (Kind.AUTH, Certainty.REJECTED),
    "MissingAuthenticationTokenException": (Kind.AUTH, Certainty.REJECTED),
    "ExpiredTokenException": (Kind.AUTH, Certainty.REJECTED),
    "ResourceNotFoundException": (Kind.NOT_FOUND, Certainty.REJECTED),
    # The work began; whether a model that was stopped is billed is said nowhere.
    "ModelTimeoutException": (Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
    "ModelErrorException": (Kind.SERVER, Certainty.FAILED),
    "ThrottlingException": (Kind.THROTTLED, Certainty.REJECTED),
    "ModelNotReadyException": (Kind.OVERLOADED, Certainty.REJECTED),
    "InternalServerException": (Kind.SERVER, Certainty.FAILED),
    "ServiceUnavailableException": (Kind.OVERLOADED, Certainty.REJECTED),
}
_WORDS: Mapping[Kind, str] = {
    **WHAT_IT_DID,
    Kind.NOT_FOUND: "does not know the model",
    Kind.TIMEOUT: "gave up waiting for its model",
}
_BLOCKED = re.compile(r"blocked by our content filters", re.IGNORECASE)
_NO_SUCH_MODEL = re.compile(
    r"model identifier is invalid|on-demand throughput isn.t supported", re.IGNORECASE
)
_CANONICAL = re.compile(r"the canonical string for this request", re.IGNORECASE)
"""A refused signature is answered with all that should have been signed, session token included."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, provider: str, scrub: Scrubber, prompt: str = ""
) -> ProviderError:
    """The error for an answer that is not 2xx. ``headers`` look-ups must ignore case; ``body`` may be cut."""
    document = _document(body)
    name = _name(headers, document)
    if name not in _MEANING:
        # No exception of theirs: a proxy on the way, or something new.
        return by_status(status, headers, body, provider=provider, scrub=scrub, prompt=prompt)
    kind, certainty = _MEANING[name]
    said = document.get("message", document.get("Message"))
    said = _CANONICAL.split(said)[0].strip() if isinstance(said, str) else ""
    if kind is Kind.INVALID and _BLOCKED.search(said):
        kind = Kind.MODERATION
    elif kind is Kind.INVALID and _NO_SUCH_MODEL.search(said):
        kind = Kind.NOT_FOUND
    shown = scrub(said, prompt)
    words = f"Provider '{provider}' {_WORDS[kind]} ({name})."
    # What is wrong with the request itself is best said in the upstream's words alone.
    alone = kind in (Kind.INVALID, Kind.MODERATION) and shown
    return ProviderError(
        kind,
        certainty,
        shown if alone else f"{words} {shown}".rstrip(),
        status=status,
        code=name,
        retry_after=retry_after(headers),
        details={"moderation_stage": "input", "categories": []} if kind is Kind.MODERATION else None,
        upstream_request_id=request_id(headers),
    )


def _document(body: bytes) -> dict[str, object]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _name(headers: Mapping[str, str], document: Mapping[str, object]) -> str:
    """``Throttling`` of ``Throttling:http://…`` or ``com.amazonaws#Throttling``."""
    found = headers.get("x-amzn-errortype") or document.get("__type")
    return found.partition(":")[0].rpartition("#")[2].strip() if isinstance(found, str) else ""
