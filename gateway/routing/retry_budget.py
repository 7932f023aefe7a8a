"""What may be spent on trying again: so many attempts from one provider to another, so many dollars in all.

The count is per pair, so that a sick provider does not eat what others may still retry. The dollars are one
sum for the whole gateway, since that is what the promise is about: calls after one that may have been paid
for cost at most their share of what was settled. Integer nano-dollars; the clock comes in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from gateway.routing.windows import WindowSum

COUNT_SECONDS = 600.0
COUNT_LEAST = 10
SPEND_SECONDS = 86400.0
"""A day and not ten minutes: at 100 requests a minute ten minutes' share is ten calls, and at 100 an hour an
hour's is one; chance alone would use them up."""


class RetryCount:
    """Further attempts, in the last ten minutes."""

    def __init__(self, share: Decimal) -> None:
        self._share = share
        self._first: dict[str, WindowSum] = defaultdict(_ten_minutes)
        self._further: dict[tuple[str, str], WindowSum] = defaultdict(_ten_minutes)

    def reconfigured(self, share: Decimal) -> None:
        """Another share from now on; what was counted stays."""
        self._share = share

    def first(self, provider: str, now: float) -> None:
        """A request came there for the first time, at once or from another provider."""
        self._first[provider].add(1, now)

    def allows(self, failed: str, following: str, now: float) -> bool:
        """Whether a request that failed at one provider may be tried at another (or once more there)."""
        room = max(int(self._first[failed].total(now) * self._share), COUNT_LEAST)
        return self._further[(failed, following)].total(now) < room

    def further(self, failed: str, following: str, now: float) -> None:
        """It was."""
        self._further[(failed, following)].add(1, now)


class RetrySpend:
    """Calls after one that may have been paid for, in the last 24 hours."""

    def __init__(self, share: Decimal) -> None:
        self._share = share
        self._settled = WindowSum(SPEND_SECONDS)
        self._taken = WindowSum(SPEND_SECONDS)
        self._calls = WindowSum(SPEND_SECONDS)

    def reconfigured(self, share: Decimal) -> None:
        """Another share from now on; what was spent stays."""
        self._share = share

    def settled(self, nano: int, now: float) -> None:
        """A call was settled at so much."""
        self._settled.add(nano, now)

    def allows(self, nano: int | None, now: float) -> bool:
        """Whether a further call that is held at so much (None: not known) fits. One call in a day always
        may, unless the share is 0."""
        if self._share == 0:
            return False
        if self._calls.total(now) == 0:
            return True
        if nano is None:
            return False
        return self._taken.total(now) + nano <= int(self._settled.total(now) * self._share)

    def used(self, now: float) -> float:
        """Which part of what may be spent is spent; above 1 where the one call that always may cost more."""
        taken, allowed = self._taken.total(now), int(self._settled.total(now) * self._share)
        return taken / allowed if allowed else float(taken > 0)

    def take(self, nano: int | None, now: float) -> Callable[[int, float], None]:
        """Such a call was sent. Call the answer once it has ended, with what it cost (0: released) and the
        time."""
        nano = nano or 0
        self._taken.add(nano, now)
        self._calls.add(1, now)

        def ended(cost: int, at: float) -> None:
            self._taken.correct(cost - nano, now, at)

        return ended


def _ten_minutes() -> WindowSum:
    return WindowSum(COUNT_SECONDS)
