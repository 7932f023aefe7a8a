"""How long providers asked to be left alone: one time for each target and kind of limit.

A cooldown is the provider's own word and not our judgement: a target that is cooling is not called, even
where it is the only one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.routing.names import TargetName

MOST = 3600.0
"""Seconds. A provider that asks for a day is asked again once an hour."""

LEAST = 0.05
"""Seconds. Less has passed before the next call could be made."""

RETRY_AFTER = "retry-after"
_COUNTED = ("requests", "tokens", "images")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Cooldown:
    """``kind`` is ``retry-after`` or what ran out there: ``requests``, ``tokens``, ``images``."""

    kind: str
    until: float


class Cooldowns:
    """Of all targets. Times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self._until: dict[tuple[TargetName, str], float] = {}

    def note(self, target: TargetName, kind: str, seconds: float, now: float) -> Cooldown | None:
        """Remember it; a later end never gives way to an earlier one. None where it is too short to matter
        or nothing new."""
        if not math.isfinite(seconds) or seconds < LEAST:
            return None
        until = now + min(seconds, MOST)
        if until <= self._until.get((target, kind), 0.0):
            return None
        self._until[(target, kind)] = until
        return Cooldown(kind, until)

    def of(self, target: TargetName, now: float) -> Cooldown | None:
        """The one that ends last; None where none runs."""
        running = [
            Cooldown(kind, until)
            for (name, kind), until in self._until.items()
            if name == target and until > now
        ]
        return max(running, key=lambda cooldown: cooldown.until, default=None)

    def forget(self, now: float) -> None:
        """Drop what is over."""
        self._until = {key: until for key, until in self._until.items() if until > now}


def hints(headers: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Kind and seconds of what an answer says has run out, from ``x-ratelimit-remaining-*`` and
    ``x-ratelimit-reset-*``. Look-ups in ``headers`` must ignore case; what cannot be read says nothing."""
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
