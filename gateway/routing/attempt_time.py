"""How long one attempt may take, so that there is time for another."""

from __future__ import annotations

SPARE = 1.3
"""Times the slowest of a hundred pictures of this shape."""

KEPT_BACK = 5.0
"""Seconds before the deadline at which the last attempt ends, to tell the client in time; a tenth of the time
left, where that is less."""

FLOOR = 30.0
"""Seconds. What has only made quick pictures so far may make a slow one."""

ENOUGH = 100.0
"""Pictures before the slowest of a hundred means anything."""

SETTLED_AFTER = 600.0
"""Seconds from the first picture of a shape until its quantiles mean anything: before that the quick ones
have come back and the slow ones have not, and a time-out made of them would cut off pictures that cost."""


def attempt_seconds(p99: float | None, remaining: float, *, may_follow: bool = True) -> float:
    """Seconds for one attempt, never negative.

    ``p99`` is of this shape at this target (None: not known well enough); ``remaining`` are the seconds to
    the request's deadline. Where nothing ``may_follow`` a time-out, cutting the attempt short would only turn
    a late answer into none.
    """
    left = max(remaining - min(KEPT_BACK, remaining / 10), 0.0)
    if p99 is None or not may_follow:
        return left
    return min(max(p99 * SPARE, FLOOR), left)
