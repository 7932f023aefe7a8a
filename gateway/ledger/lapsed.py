"""Intent rows that come too late: their hold's lease is about to end, or has.

Whoever reaps a hold looks for its row first. Where there is none, the hold is given back, and a row that came
after that would stand for a call that nobody may send, and count against limits until it is resolved. So one
is refused while it is still sure that nobody has reaped its hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import Unavailable

MARGIN = timedelta(seconds=10)
"""Before a lease's end: for two clocks that disagree, and for a commit that takes as long as it may."""

LEASE_ENDS = "__lease_ends"
"""Key of a row that is no column (prepared.py)."""


class Lapsed(Unavailable):
    """The row came too late. Nothing was sent."""

    code = "hold_lost"

    def __init__(self) -> None:
        super().__init__(
            "What this call had reserved was held for too long before the gateway's ledger took the call, so "
            "it was not sent and nothing was spent. Try again.",
            retry_after=1,
        )


def refuse_lapsed(rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Raises :class:`Lapsed` if the lease of one of these intent rows ends within :data:`MARGIN`."""
    ends = [row[LEASE_ENDS] for row in rows if row.get(LEASE_ENDS) is not None]
    if ends and min(ends) - MARGIN <= now:
        raise Lapsed
