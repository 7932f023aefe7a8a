"""The store of limits with everything that keeps it true, as one thing that is opened and closed.

``quota: local`` counts in this process and is rebuilt from the ledger at start; ``redis://`` is shared by all
replicas, and whoever finds it cold rebuilds it. What happens is logged by its name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from config.schema import Settings
from gateway.engine.record import LedgerRecord
from gateway.engine.rules import rules_of
from gateway.errors import Unavailable
from gateway.images.amounts import dollars
from gateway.ledger.ledger import Ledger
from gateway.ledger.unknowns import UnknownPolicy
from gateway.quota.away import GuardedStore
from gateway.quota.keeper import Keeper, Kept
from gateway.quota.local import LocalQuotaStore
from gateway.quota.of_settings import LimitBook, away_of, calendar_of
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.store import QuotaStore
from gateway.quota.windows import Calendar, ZoneSince
from gateway.telemetry import meters

RESOLVE_SECONDS = 300.0
_POLICIES = {"charge": UnknownPolicy.CHARGE_EXPECTED, "release": UnknownPolicy.RELEASE}
_ZONES = "zone_history"
_log = structlog.get_logger("imagegate.quota")


@dataclass(frozen=True, slots=True)
class Keeping:
    store: GuardedStore
    keeper: Keeper

    async def credited(self) -> None:
        """A credit was entered: its room is there when this returns. Where the store or the ledger is away,
        the drift check tells of it within a minute of their return."""
        try:
            await self.keeper.credit()
        except Unavailable as error:
            _log.warning("credit_counts_later", code=error.code)


@asynccontextmanager
async def open_keeping(
    settings: Settings, quota_url: str | None, ledger: Ledger, book: LimitBook
) -> AsyncIterator[Keeping]:
    """Everything runs when this yields; a local store has been rebuilt by then. Raises
    :class:`gateway.quota.errors.UnsafeStore` for a Redis that may evict counters."""
    calendar = await _calendar(settings, ledger)
    inner: QuotaStore
    record = LedgerRecord(ledger, lambda: rules_of(book), lambda: inner.calendar, name_of=book.model_of)
    if quota_url is None:
        inner = LocalQuotaStore(calendar)
    else:
        # Counters are named after the ledger: another one that shares the Redis must never rebuild ours.
        inner = RedisQuotaStore.connect(
            quota_url, record.epoch, calendar=calendar, organization=ledger.instance_id
        )
    # One per process and not per database: two replicas must not take each other's slices for their own.
    store = GuardedStore(inner, away_of, replica=secrets.token_hex(6))
    keeper = Keeper(store, record, _tell)
    resolving = asyncio.create_task(_resolve(record, settings), name="resolve-unknown")
    try:
        with suppress(
            Unavailable
        ):  # a Redis that is away: limits say what that means, the keeper tries again
            await store.start()
            await keeper.warm()
        keeper.start()
        yield Keeping(store, keeper)
    finally:
        resolving.cancel()
        await asyncio.gather(resolving, return_exceptions=True)
        await keeper.aclose()
        await store.aclose()


async def _calendar(settings: Settings, ledger: Ledger) -> Calendar:
    """The organisation's calendar with its zone history, which is kept in the ledger: a change of zone across
    a restart must not hand out fresh windows."""
    kept = await ledger.notes.get(_ZONES)
    history = [
        ZoneSince(zone, None if since is None else datetime.fromisoformat(since))
        for zone, since in (msgspec.json.decode(kept) if kept else [])
    ]
    calendar = calendar_of(settings, history, datetime.now(UTC))
    if list(calendar.history) != history:
        entries = [[x.zone, None if x.since is None else x.since.isoformat()] for x in calendar.history]
        await ledger.notes.put(_ZONES, msgspec.json.encode(entries).decode())
    return calendar


async def _resolve(record: LedgerRecord, settings: Settings) -> None:
    """End, by the organisation's policy, what stayed unknown for too long."""
    unknown = settings.organization.unknown
    while True:
        try:
            for each in await record.resolve(timedelta(seconds=unknown.after), _POLICIES[unknown.then]):
                cost = None if each.cost is None else dollars(each.cost)
                _log.warning("unknown_resolved", attempt_id=each.attempt_id, cost_usd=cost)
        except Unavailable:
            pass  # it was logged where it was raised
        except Exception as error:
            _log.error("unknown_not_resolved", reason=type(error).__name__)
        await asyncio.sleep(RESOLVE_SECONDS)


def _tell(kept: Kept) -> None:
    """What the keeper did, for logs and metrics."""
    if isinstance(kept.failure, Unavailable):
        _log.warning("limit_state_unprovable", step=kept.step, code=kept.failure.code)
    elif kept.failure is not None:
        _log.error("limit_upkeep_failed", step=kept.step, reason=type(kept.failure).__name__)
    for moved in kept.moved:
        if moved.applied and moved.after is not None:
            meters.lease_reaped.add(1, {"to": moved.after.value})
            _log.warning("lease_reaped", attempt_id=moved.rid, to=moved.after.value)
    for drift in kept.drifts:
        meters.ledger_drift.add(1, {"raised": drift.raised})
        _log.error(
            "ledger_drift",
            counter=drift.line.counter,
            window=drift.line.slot,
            ledger=drift.line.amount,
            store=drift.counter,
            raised=drift.raised,
        )
    if kept.adopted:
        _log.warning("adopted", attempts=len(kept.adopted))
    if kept.step == "rebuild":
        _log.info("rebuild", epoch=kept.count, milliseconds=kept.milliseconds)
