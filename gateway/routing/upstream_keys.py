"""Several keys of one upstream account, used in turn; one that was refused or limited rests.

A key that the provider refuses (401, 403) is taken out for ten minutes, doubling to an hour: it may have been
revoked for good, and asking costs one call each time. One that met a rate limit rests as long as the provider
asked. Where all rest, the one that rests shortest is used: with one key there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.routing.failure import Failure
from providers.base import Kind

_REFUSED = 600.0
_REFUSED_MOST = 3600.0
_LIMITED = 5.0
"""Seconds after a 429 that names no time."""


@dataclass(slots=True)
class _Key:
    rests_until: float = 0.0
    refusals: int = 0


class KeyRing:
    """Keys by number, so that no secret stands here. ``number`` of them, at least one."""

    def __init__(self, number: int) -> None:
        self._keys = [_Key() for _ in range(number)]
        self._next = 0

    def take(self, now: float) -> int:
        """The number of the key for the next call."""
        count = len(self._keys)
        turns = [(self._next + step) % count for step in range(count)]
        awake = [number for number in turns if self._keys[number].rests_until <= now]
        chosen = awake[0] if awake else min(turns, key=lambda number: self._keys[number].rests_until)
        self._next = (chosen + 1) % count
        return chosen

    def succeeded(self, number: int) -> None:
        self._keys[number] = _Key()

    def failed(self, number: int, failure: Failure, now: float) -> None:
        key = self._keys[number]
        if failure.kind is Kind.AUTH:
            rest = min(_REFUSED * 2.0 ** min(key.refusals, 10), _REFUSED_MOST)
            key.refusals += 1
        elif failure.kind is Kind.THROTTLED and not failure.is_our_own:
            rest = _LIMITED if failure.retry_after is None else failure.retry_after
        else:
            return
        key.rests_until = max(key.rests_until, now + rest)

    def resting(self, now: float) -> Sequence[int]:
        """Numbers of the keys that rest; where all do, the target itself is in trouble."""
        return [number for number, key in enumerate(self._keys) if key.rests_until > now]
