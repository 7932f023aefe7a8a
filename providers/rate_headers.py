"""OpenAI's rate headers, which say what has run out at an account and when there is some again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_COUNTED = ("requests", "tokens", "images", "input-images")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def hints(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Kind (``requests``, ``tokens``, ``images``, ``input-images``) and seconds of what has run out, from
    ``x-ratelimit-remaining-*`` and ``x-ratelimit-reset-*``. Look-ups in ``headers`` must ignore case; what
    cannot be read says nothing."""
    for kind in _COUNTED:
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            seconds = duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
            if seconds is not None:
                yield kind, seconds


def duration(text: str) -> float | None:
    """Seconds, from ``6m0s``, ``1.5s``, ``20ms`` or a bare number of seconds."""
    said = text.strip().lower()[:32]
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said):
        return float(said)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])", said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until there is some again of all that has run out; None where nothing is said of that."""
    return max((seconds for _, seconds in hints(headers) if seconds > 0), default=None)
