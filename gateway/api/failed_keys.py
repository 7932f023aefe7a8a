"""How often an address may be wrong about its key before it is told to wait."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

ALLOWED = 20
WINDOW = 60.0
"""Failures an address may have in so many seconds."""

_REMEMBERED = 10_000  # addresses: bounds the memory that a flood can take


class FailedKeys:
    """A fixed window per address, from its first failure on."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0.0 when it may now."""
        begun, failures = self._windows.get(address, (0.0, 0))
        if failures < ALLOWED:
            return 0.0
        left = begun + WINDOW - self._clock()
        if left <= 0:
            del self._windows[address]
            return 0.0
        return left

    def count(self, address: str) -> None:
        now = self._clock()
        begun, failures = self._windows.pop(address, (now, 0))
        if now - begun >= WINDOW:
            begun, failures = now, 0
        if len(self._windows) >= _REMEMBERED:
            del self._windows[next(iter(self._windows))]
        self._windows[address] = (begun, failures + 1)
