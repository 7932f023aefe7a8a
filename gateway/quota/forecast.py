"""Whether reservations would be admitted, judged by where their limits stand. Pure: nothing is taken, so
another call may take what was still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.quota.outcomes import Binding, Refused, Reservation, Standing
from gateway.quota.terms import Kind, Limit, Measure

_MILLISECOND = timedelta(milliseconds=1)
_MINUTE_MS = 60_000


def forecast(
    reservations: Sequence[Reservation], standings: Sequence[Standing], now: datetime
) -> Refused | None:
    """None: all would be admitted at once. ``standings`` are those of the reservations' limits, each once."""
    found: list[Binding] = []
    for standing in standings:
        needed = need(reservations, standing.limit)
        if needed and standing.used + needed > standing.limit.amount:
            found.append(Binding(standing, needed, _retry_after(standing, needed, now)))
    refusing = tuple(each for each in found if not each.limit.shadow)
    if not refusing:
        return None
    return Refused(refusing, tuple(standings), tuple(each for each in found if each.limit.shadow))


def need(reservations: Sequence[Reservation], limit: Limit) -> int:
    """What all of them take of one limit."""
    lone = 1 if limit.measure is Measure.CONCURRENT else 0
    return sum(each.amounts.get(limit.measure, lone) for each in reservations if limit in each.limits)


def _retry_after(standing: Standing, needed: int, now: datetime) -> int | None:
    limit = standing.limit
    if needed > limit.amount or standing.resets_at is None:
        return None
    if limit.kind is Kind.RATE:
        return -(-(standing.settled + needed - limit.amount) * _MINUTE_MS // limit.amount)
    return max((standing.resets_at - now) // _MILLISECOND, 0)
