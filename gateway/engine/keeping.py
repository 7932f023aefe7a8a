"""The store of limits with everything that keeps it true, as one thing that is opened and closed.

``quota: local`` counts in this process and is rebuilt from the ledger at start; ``redis://`` is shared by all
replicas, and whoever finds it cold rebuilds it. What happens is logged by its name.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

import msgspec
import structlog

from config.limits import UnknownSettings
from config.schema import Settings
from gateway.engine.record import LedgerRecord
from gateway.engine.rules import rules_of
from gateway.errors import Unavailable
from gateway.images.amounts import dollars
from gateway.ledger.ledger import Ledger
from gateway.ledger.unknowns import UnknownPolicy
from gateway.quota.away import GuardedStore
from gateway.quota.connection import UrlNow
from gateway.quota.holds import Line
from gateway.quota.keeper import DRIFT_SECONDS, Keeper, Kept
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


@dataclass(slots=True)
class _Terms:
    """What the configuration in force says of limits and of what stays unknown."""

    book: LimitBook
    unknown: UnknownSettings
    learning: dict[str, float] = field(default_factory=dict)
    """Limits that came while calls ran which do not know of them, and when the last of these has ended."""

    def is_learning(self, line: Line) -> bool:
        return monotonic() < self.learning.get(_for_anybody(line.counter), 0.0)


@dataclass(frozen=True, slots=True)
class Keeping:
    store: GuardedStore
    keeper: Keeper
    _terms: _Terms

    @property
    def book(self) -> LimitBook:
        """The limits that the counters are kept for."""
        return self._terms.book

    def reconfigured(self, book: LimitBook, unknown: UnknownSettings, longest_call: float) -> None:
        """Other limits count from now on; :meth:`counted` tells the store what was spent under them. What
        calls of before spend is told by the drift check, and no drift; they last so many seconds at most."""
        until = monotonic() + longest_call + 2 * DRIFT_SECONDS
        self._terms.learning.update(dict.fromkeys(_counters(book) - _counters(self._terms.book), until))
        self._terms.book, self._terms.unknown = book, unknown

    async def counted(self) -> None:
        """The counters of all limits say what the ledger does, those of new ones too. Raises
        :class:`Unavailable`."""
        await self.keeper.drift()

    async def credited(self) -> None:
        """A credit was entered: its room is there when this returns. Where the store or the ledger is away,
        the drift check tells of it within a minute of their return."""
        try:
            await self.keeper.credit()
        except Unavailable as error:
            _log.warning("credit_counts_later", code=error.code)


@asynccontextmanager
async def open_keeping(
    settings: Settings, quota_url: str | None, ledger: Ledger, book: LimitBook, now: UrlNow | None = None
) -> AsyncIterator[Keeping]:
    """Everything runs when this yields; a local store has been rebuilt by then. ``now`` is how the Redis is
    logged in at now. Raises :class:`gateway.quota.errors.UnsafeStore` for a Redis that may evict counters."""
    calendar = await _calendar(settings, ledger)
    inner: QuotaStore
    terms = _Terms(book, settings.organization.unknown)
    record = LedgerRecord(
        ledger,
        lambda: rules_of(terms.book),
        lambda: inner.calendar,
        name_of=lambda model: terms.book.model_of(model),
    )
    if quota_url is None:
        inner = LocalQuotaStore(calendar)
    else:
        # Counters are named after the ledger: another one that shares the Redis must never rebuild ours.
        inner = RedisQuotaStore.connect(
            quota_url, record.epoch, calendar=calendar, organization=ledger.instance_id, now=now
        )
    # One per process and not per database: two replicas must not take each other's slices for their own.
    store = GuardedStore(inner, away_of, replica=secrets.token_hex(6))
    keeper = Keeper(store, record, partial(_tell, terms))
    resolving = asyncio.create_task(_resolve(record, terms), name="resolve-unknown")
    try:
        with suppress(
            Unavailable
        ):  # a Redis that is away: limits say what that means, the keeper tries again
            await store.start()
            await keeper.warm()
            if quota_url is not None:
                await keeper.drift()  # limits that are new with this start have counted nothing yet
        keeper.start()
        yield Keeping(store, keeper, terms)
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


async def _resolve(record: LedgerRecord, terms: _Terms) -> None:
    """End, by the organisation's policy, what stayed unknown for too long."""
    while True:
        unknown = terms.unknown
        try:
            for each in await record.resolve(timedelta(seconds=unknown.after), _POLICIES[unknown.then]):
                cost = None if each.cost is None else dollars(each.cost)
                _log.warning("unknown_resolved", attempt_id=each.attempt_id, cost_usd=cost)
        except Unavailable:
            pass  # it was logged where it was raised
        except Exception as error:
            _log.error("unknown_not_resolved", reason=type(error).__name__)
        await asyncio.sleep(RESOLVE_SECONDS)


def _counters(book: LimitBook) -> set[str]:
    limits = [*book.all_limits(datetime.now(UTC)), *(limit for *_, limit in book.of_each_end_user())]
    return {_for_anybody(limit.counter) for limit in limits}


def _for_anybody(counter: str) -> str:
    """A counter's name, without whose it is where each end user has one."""
    return re.sub(r"^(user:[^:]*):[^:]*:[^@|]*", r"\1", counter)


def _tell(terms: _Terms, kept: Kept) -> None:
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
        if terms.is_learning(drift.line):
            _log.info("limit_learnt", counter=drift.line.counter, amount=drift.line.amount)
            continue
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
