"""Calls that the process cannot see to their end: they were sent, so nobody knows what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, RequestEnd
from gateway.quota.holds import State
from gateway.quota.keeper import Keeper
from gateway.quota.outcomes import End
from gateway.quota.store import QuotaStore
from gateway.telemetry import meters

KILLED = "killed_in_flight"
_log = structlog.get_logger("imagegate.engine")


async def abandon(
    keeper: Keeper, ledger: Ledger, store: QuotaStore, requests: Sequence[RequestEnd] = ()
) -> int:
    """Write down every call in flight as unknown, in the ledger first, together with the last rows of the
    ``requests`` that were broken off; returns how many calls there were. One whose end comes after all, from
    wherever, is then settled exactly. Where the ledger takes nothing, the next start, or the lease's end,
    says the same of them."""
    holds = keeper.watched
    if not holds and not requests:
        return 0
    now = datetime.now(UTC)
    meters.killed_in_flight.add(len(holds))
    for hold in holds:
        _log.error(KILLED, attempt_id=hold.rid)
    try:
        await ledger.record(
            *(AttemptEnd(hold.rid, AttemptState.UNKNOWN, now, error_code=KILLED) for hold in holds),
            *requests,
        )
    except Unavailable as error:
        _log.error("killed_not_recorded", attempts=len(holds), requests=len(requests), code=error.code)
        return len(holds)
    if holds:
        await store.end([End(hold, State.UNKNOWN) for hold in holds])
    return len(holds)
