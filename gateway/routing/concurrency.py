"""How many calls at once a target takes, learnt from its refusals: less at once, more again one by one.

Only 429 and overload make it less. Latency does not: pictures take 20 or 200 s for reasons of their own, and
a controller that looks for a minimum would throttle the gateway for minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

_LESS = 0.7
_SUCCESSES = 10
"""That make room for one more."""


@dataclass(slots=True)
class ConcurrencyCap:
    """``most`` is the owner's ``max_in_flight``, None for none; then there is no cap before the first
    refusal, and none again once twice what was refused goes well."""

    most: int | None = None
    _learnt: int | None = None
    _lifted_at: int = 0
    _good: int = 0
    _lessened: float = float("-inf")

    def reconfigured(self, most: int | None) -> None:
        """Another ``max_in_flight`` from now on; what was learnt below it stays."""
        self.most = most
        if most is not None and self._learnt is not None and self._learnt >= most:
            self._learnt = None

    @property
    def now(self) -> int | None:
        """Calls at once; None for any number."""
        return self.most if self._learnt is None else self._learnt

    def refused(self, in_flight: int, began: float, now: float) -> None:
        """A call that began at ``began`` among ``in_flight`` was throttled. Calls that began before the cap
        was last made less tell of the old one."""
        if began < self._lessened:
            return
        before = min(in_flight, self.now) if self.now is not None else in_flight
        self._learnt = max(floor(before * _LESS), 1)
        self._lifted_at = 2 * max(before, 1)
        self._lessened = now
        self._good = 0

    def succeeded(self) -> None:
        if self._learnt is None:
            return
        self._good += 1
        if self._good < _SUCCESSES:
            return
        self._good = 0
        self._learnt += 1
        end = self.most if self.most is not None else self._lifted_at
        if self._learnt >= end:
            self._learnt = None
