"""What a request's headers say of its being made once: ``Idempotency-Key``, ``Prefer: respond-async``, and
the marks of those that send a request again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from gateway.engine.answer import RequestFacts
from gateway.errors import InvalidRequest

LONGEST_KEY = 255

_KEY = b"idempotency-key"
_MARKS = ((b"x-stainless-retry-count", 1), (b"x-envoy-attempt-count", 2))
"""Headers that count: the SDK's retries from 0, a mesh's attempts from 1; each with the least that means a
repetition."""
_PREFERENCE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")


def with_repetition(facts: RequestFacts, headers: Mapping[bytes, bytes]) -> RequestFacts:
    """``headers`` have lower-case names. Raises :class:`InvalidRequest`."""
    key = headers.get(_KEY)
    marked = any(_count(headers.get(name)) >= least for name, least in _MARKS)
    later = b"prefer" in headers and _prefers_later(headers[b"prefer"])
    if key is None and not marked and not later:
        return facts
    return replace(
        facts,
        idempotency_key=None if key is None else _checked(key),
        is_retry=marked,
        respond_async=later,
    )


def _checked(raw: bytes) -> str:
    text = raw.decode("latin-1").strip()
    if not text or len(text) > LONGEST_KEY or not text.isascii() or not text.isprintable():
        raise InvalidRequest(
            f"Invalid 'Idempotency-Key' header: 1 to {LONGEST_KEY} printable ASCII characters.",
            param="Idempotency-Key",
            code="invalid_value",
        )
    return text


def _count(raw: bytes | None) -> int:
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 6 else 0


def _prefers_later(raw: bytes) -> bool:
    """RFC 7240; other preferences are passed over, as it says."""
    names = (_PREFERENCE.match(part) for part in raw.decode("latin-1").split(","))
    return any(found is not None and found[1].lower() == "respond-async" for found in names)
