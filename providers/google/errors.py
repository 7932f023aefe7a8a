"""What a refusal in Google's envelope means: ``{"error": {"code", "status", "message", "details"}}``, perhaps
as the one element of an array.

====================================  ============  ==================================================
sign                                  kind          certainty
====================================  ============  ==================================================
408, 499, 504                         timeout       maybe_accepted: somebody stopped waiting
3xx                                   not_found     rejected: redirects are not followed
400 whose text has a safety code      moderation    rejected
400 about the key, the billing or     auth          rejected
  the place of the caller; 401, 403
429 of a quota that is 0              auth          rejected: the account was never given any
429                                   throttled     rejected
any other 4xx                         by status     rejected
503 in the envelope                   overloaded    failed
any other 5xx in the envelope         server        failed
5xx without the envelope              server        maybe_accepted: an intermediary speaks
====================================  ============  ==================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from providers.base import Certainty, Kind, ProviderError
from providers.google.safety import details, reason_of, support_categories
from providers.openai_errors import retry_after
from providers.refusing import BY_STATUS, WHAT_IT_DID
from providers.scrub import Scrubber

_ABOUT_THE_ACCOUNT = re.compile(
    r"api key|user location is not supported|billing|has not been used in project", re.IGNORECASE
)
_RETRY_IN = re.compile(
    r"retry in (?:(?P<h>\d{1,3})h)?(?:(?P<m>\d{1,3})m(?!s))?(?:(?P<n>\d{1,6}(?:\.\d+)?)(?P<unit>ms|s))?"
)
_DELAY = re.compile(r"(\d{1,7}(?:\.\d{1,9})?)s")

DAY_PAUSE = 3600.0
"""Seconds after which a quota of the day is asked for again: when its day ends the answer does not say."""


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, provider: str, scrub: Scrubber, prompt: str = ""
) -> ProviderError:
    """The error for an answer that is not 2xx. ``headers`` look-ups must ignore case; ``body`` may be cut."""
    error = _envelope(body)
    said, word = _text(error.get("message")), reason_of(error.get("status"))
    entries = list(_entries(error))
    kind, certainty = _meaning(status, word, said, entries, enveloped=bool(error))
    # Google's word is no code that a client of OpenAI's knows.
    text = f"Provider '{provider}' {WHAT_IT_DID[kind]} (HTTP {status}{f', {word}' if word else ''})."
    if said:
        shown = scrub(said, prompt)
        # A refused account is the gateway's, not the caller's: the upstream's words alone would mislead.
        text = shown if kind in (Kind.INVALID, Kind.MODERATION) else f"{text} {shown}"
    without_quota = status == 429 and kind is Kind.AUTH
    return ProviderError(
        kind,
        certainty,
        text,
        status=status,
        code="insufficient_quota" if without_quota else None,
        retry_after=None if kind is Kind.AUTH else _pause(headers, said, entries),
        details=details("input", {}, "", said) if kind is Kind.MODERATION else None,
    )


def _meaning(
    status: int, word: str, said: str, entries: list[Mapping[str, object]], *, enveloped: bool
) -> tuple[Kind, Certainty]:
    if status in (408, 499, 504):
        return Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED
    if status < 400:
        return Kind.NOT_FOUND, Certainty.REJECTED
    if status >= 500:
        certainty = Certainty.FAILED if enveloped else Certainty.MAYBE_ACCEPTED
        return BY_STATUS.get(status, Kind.SERVER), certainty
    if status == 400:
        return _bad_request(word, said, entries), Certainty.REJECTED
    if status == 429 and any(violation.get("quotaValue") == "0" for violation in _violations(entries)):
        return Kind.AUTH, Certainty.REJECTED
    return BY_STATUS.get(status, Kind.INVALID), Certainty.REJECTED


def _bad_request(word: str, said: str, entries: list[Mapping[str, object]]) -> Kind:
    if support_categories(said):
        return Kind.MODERATION
    keyed = any(str(entry.get("reason", "")).startswith("API_KEY") for entry in entries)
    if keyed or (word == "FAILED_PRECONDITION" or _ABOUT_THE_ACCOUNT.search(said)):
        return Kind.AUTH
    return Kind.INVALID


def _pause(headers: Mapping[str, str], said: str, entries: list[Mapping[str, object]]) -> float | None:
    """Seconds, of the header, a ``RetryInfo`` or the text; a quota of the day takes an hour at least."""
    seconds = retry_after(headers)
    for entry in entries:
        match = _DELAY.fullmatch(_text(entry.get("retryDelay")))
        if seconds is None and match:
            seconds = float(match[1])
    if seconds is None and (match := _RETRY_IN.search(said)) and any(match.groups()):
        unit = 0.001 if match["unit"] == "ms" else 1.0
        seconds = int(match["h"] or 0) * 3600 + int(match["m"] or 0) * 60 + float(match["n"] or 0) * unit
    if any("PerDay" in str(violation.get("quotaId", "")) for violation in _violations(entries)):
        return max(seconds or 0.0, DAY_PAUSE)
    return seconds


def _violations(entries: list[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    for entry in entries:
        listed = entry.get("violations")
        yield from (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict))


def _entries(error: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    listed = error.get("details")
    yield from (entry for entry in (listed if isinstance(listed, list) else ()) if isinstance(entry, dict))


def _envelope(body: bytes) -> Mapping[str, object]:
    """The error object; empty where the body is not Google's envelope."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(document, list) and len(document) == 1:
        (document,) = document
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) and isinstance(error.get("message"), str) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
