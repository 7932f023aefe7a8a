"""How long providers asked to be left alone: one time for each target and kind of limit.

A cooldown is the provider's own word and not our judgement: a target that is cooling is not called, even
where it is the only one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.routing.names import TargetName

MOST = 3600.0
"""Seconds. A provider that asks for a day is asked again once an hour."""

LEAST = 0.05
"""Seconds. Less has passed before the next call could be made."""

RETRY_AFTER = "retry-after"


@dataclass(frozen=True, slots=True)
class Cooldown:
    """``kind`` is ``retry-after`` or what ran out there (providers/rate_headers.py)."""

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
