"""The ledger: every request, every upstream attempt and what it cost, durable before it counts.

Usage::

    ledger = await Ledger.open("sqlite:///data/imagegate.db", base, arrears=data / "arrears")
    await ledger.record(NewRequest(…), NewAttempt(…))     # durable on return: only now may the call be sent
    await ledger.record(AttemptEnd(…), RequestEnd(…))
    await ledger.snapshot(ids, before, spans)             # what the keepers of limits ask
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Connection, func, select

from gateway.errors import Unavailable
from gateway.ledger import epochs, identity, snapshot, unknowns
from gateway.ledger.accounts.accounts import Accounts
from gateway.ledger.arrears import Arrears
from gateway.ledger.backups import Backups
from gateway.ledger.contents import Contents, contents
from gateway.ledger.counted import Span
from gateway.ledger.entries import Row, to_row
from gateway.ledger.epochs import EpochRow
from gateway.ledger.keys import KeyStore
from gateway.ledger.migrate import migrate
from gateway.ledger.notes import Notes
from gateway.ledger.opening import open_store
from gateway.ledger.outbox import Outbox
from gateway.ledger.postgres_store import UrlNow
from gateway.ledger.records import AttemptEnd, End, Entry, RequestEnd
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.reports import Dimension, UsageReport, usage
from gateway.ledger.request_records import RequestRecords
from gateway.ledger.results import Results
from gateway.ledger.retention import Retention
from gateway.ledger.rollups import roll_up
from gateway.ledger.snapshot import Snapshot, Standing
from gateway.ledger.store import Store, Unasked, is_away, unavailable, write
from gateway.ledger.tables import meta, to_micros
from gateway.ledger.touched import ROLLUPS
from gateway.ledger.unknowns import TOGETHER, Resolved, UnknownPolicy
from gateway.ledger.upkeep import Upkeep
from gateway.ledger.writer import Writer

_log = structlog.get_logger("imagegate.ledger")

FIXED_SQLITE = (3, 51, 3)


class Ledger:
    """Open it with :meth:`open`, in the event loop that will use it; close it with :meth:`close`."""

    def __init__(self, store: Store, instance_id: str, arrears: Arrears | None = None) -> None:
        self._store = store
        self._writer = Writer(store)
        self._arrears = arrears
        self._ending: set[asyncio.Task[None]] = set()
        self.instance_id = instance_id
        """Tells one ledger from another; see identity.py."""
        self.keys = KeyStore(store)
        self.accounts = Accounts(store)
        self.notes = Notes(store)
        self.results = Results(store)
        self.outbox = Outbox(store)
        self.requests = RequestRecords(store)
        self.backups = Backups(store)
        self.retention = Retention(store)
        self._upkeep = Upkeep(replay=self.replay, roll_up=self.roll_up)

    @classmethod
    async def open(
        cls, url: str, base: Path, *, arrears: Path | None = None, now: UrlNow | None = None
    ) -> Ledger:
        """Open (and where needed make or upgrade) the database that ``storage.database`` names.

        ``arrears`` is the file that keeps ends while the database is away; only a process that holds the lock
        of its folder gives one. What an earlier process left there is written first. ``now`` gives the URL
        with the login of the moment. On SQLite, attempts that a killed process left running then become
        ``unknown``: this process is the only one. Raises :class:`LedgerRefused` and its kin, with words for
        the operator.
        """
        store = await open_store(url, base, now)
        try:
            instance_id = await store.write(_prepare)
            kept = None if arrears is None else await _open_arrears(arrears)
        except LedgerRefused:
            await store.close()
            raise
        except Exception as error:
            await store.close()
            if is_away(error):
                reason = getattr(error, "orig", None) or error
                raise LedgerRefused(
                    f"The database of storage.database cannot be reached: {reason}."
                ) from error
            raise
        ledger = cls(store, instance_id, kept)
        try:
            await ledger._begin()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def _begin(self) -> None:
        await self.replay()
        if self._store.dialect == "sqlite":
            interrupted = await write(
                self._store, lambda connection: unknowns.interrupt_running(connection, datetime.now(UTC))
            )
            if interrupted:
                _log.warning("attempts_interrupted", count=interrupted, state="unknown")
            if sqlite3.sqlite_version_info < FIXED_SQLITE:
                _log.warning(
                    "sqlite_outdated",
                    version=sqlite3.sqlite_version,
                    wanted=".".join(map(str, FIXED_SQLITE)),
                    consequence="a rare fault can corrupt the database; the gateway avoids what sets it off",
                    remedy="a Python that links a newer SQLite, or storage.database on PostgreSQL",
                )
        self._upkeep.start()

    async def record(self, *entries: Entry, patient: bool = False) -> None:
        """Write ``entries`` in one transaction; on return they are durable.

        Any of them may be repeated: an id is inserted once and ended once, ``settled`` and ``released`` never
        change, ``unknown`` may become either. Raises :class:`Unavailable`: ``ledger_unavailable`` when the
        store is away (:class:`gateway.ledger.store.Unasked` where nothing can have been written),
        ``budget_state_rebuilding`` for an attempt whose hold is of an older epoch, ``hold_lost`` for one that
        comes as late as its hold's lease ends. Raises ValueError or ``NoSuchRow`` for entries that make no
        sense. A cancelled caller's entries are written all the same. ``patient`` entries may wait some
        milliseconds for company.

        Ends alone are durable in the arrears where the store is away, and then nothing is raised, unless the
        disk takes nothing either.
        """
        rows = [(type(entry), to_row(entry)) for entry in entries]
        ends = [entry for entry in entries if isinstance(entry, AttemptEnd | RequestEnd)]
        if self._arrears is None:
            await self._writer.write(rows, patient=patient)
        elif len(ends) < len(entries):
            if (refusal := self._arrears.refusal) is not None:
                raise unavailable(OSError(refusal), Unasked)
            await self._writer.write(rows, patient=patient)
        else:
            # In a task of its own: a caller that is cancelled must not take the way to the arrears with it.
            task = asyncio.create_task(self._end(self._arrears, ends, rows, patient))
            self._ending.add(task)
            task.add_done_callback(self._ended)
            await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # its caller has seen it, or is gone; it was logged

    async def _end(
        self, arrears: Arrears, ends: Sequence[End], rows: Sequence[tuple[type[Entry], Row]], patient: bool
    ) -> None:
        if not arrears.waiting:  # else the store is away, and asking it again would keep a client waiting
            try:
                await self._writer.write(rows, patient=patient)
            except Unavailable:
                pass
            else:
                return
        try:
            await arrears.add(ends)
        except OSError as error:
            _log.error("settle_in_memory", waiting=arrears.waiting, reason=error.strerror)
            raise Unavailable(
                "Neither the gateway's ledger nor its disk takes what this call cost; it is kept in memory. "
                "The operator should free disk space now.",
                code="ledger_unavailable",
                retryable=False,
            ) from error
        _log.warning("settle_spooled", waiting=arrears.waiting, age_seconds=arrears.age_seconds)

    @property
    def arrears(self) -> tuple[int, int]:
        """How many ends wait for the store, and for how many seconds the oldest has: gauges for metrics."""
        return (0, 0) if self._arrears is None else (self._arrears.waiting, self._arrears.age_seconds)

    async def replay(self) -> int:
        """Write the ends that wait; returns how many were written. Done every second."""
        if self._arrears is None or not self._arrears.waiting:
            return 0
        age = self._arrears.age_seconds

        async def again(ends: Sequence[End]) -> None:
            await self._writer.write([(type(end), to_row(end)) for end in ends])

        done = await self._arrears.replay(again)
        if done:
            _log.info("settle_replayed", count=done, age_seconds=age, waiting=self._arrears.waiting)
        return done

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> EpochRow:
        """Write and return the next epoch, durably: attempts with holds of older ones are refused from now
        on. ``seen`` as of :func:`gateway.ledger.epochs.begin`."""
        now = datetime.now(UTC)
        row = await write(self._store, lambda connection: epochs.begin(connection, run_id, seen, now))
        if row.ledger != self.instance_id:
            _log.warning(
                "ledger_id_renewed", because="its counters were another's", epoch=row.number, seen=seen
            )
            self.instance_id = row.ledger
        return row

    async def renew_id(self) -> str:
        """Say that this database is a copy, or was set back to one: counters under its old id are left alone.
        Nothing else may run on it."""
        self.instance_id = await write(self._store, identity.renew)
        return self.instance_id

    async def contents(self) -> Contents:
        return await self._store.read(contents)

    async def epoch(self) -> EpochRow | None:
        """The epoch in force; None before the first."""
        return await self._store.read(epochs.current)

    async def snapshot(self, ids: Sequence[str], before: datetime | None, spans: Sequence[Span]) -> Snapshot:
        """What the ledger says of these attempts (those without a row are absent), all open attempts and the
        sums of windows, as of one moment; see snapshot.py."""
        return await self._store.read(lambda connection: snapshot.snapshot(connection, ids, before, spans))

    async def lapse(self, ids: Sequence[str]) -> Mapping[str, Standing]:
        """Those of these attempts that are ``dispatched`` become ``unknown``, since their leases are out;
        returns what then stands of each that has a row."""
        now = datetime.now(UTC)

        def step(connection: Connection) -> Mapping[str, Standing]:
            unknowns.mark_unknown(connection, ids, now)
            return snapshot.standings(connection, ids)

        return await write(self._store, step) if ids else {}

    async def resolve_unknown(self, older_than: timedelta, policy: UnknownPolicy) -> Sequence[Resolved]:
        """End by policy what was admitted longer than ``older_than`` ago and is still open."""
        now = datetime.now(UTC)
        resolved: list[Resolved] = []
        while True:
            batch = await write(
                self._store,
                lambda connection: unknowns.resolve(connection, now - older_than, policy, now),
            )
            resolved += batch
            if len(batch) < TOGETHER:
                return resolved

    async def roll_up(self) -> None:
        """Make the rollups catch up. Done every minute."""
        for rollup in ROLLUPS:
            more = True
            while more:
                now = to_micros(datetime.now(UTC))
                more = await write(self._store, partial(roll_up, rollup=rollup, now=now))

    async def usage(
        self, *, since: datetime | None, until: datetime, by: Sequence[Dimension], timezone: str
    ) -> UsageReport:
        """Requests, images, tokens and cost of [since, until), grouped; see reports.py."""
        return await self._store.read(
            lambda connection: usage(connection, since=since, until=until, by=by, timezone=timezone)
        )

    async def ready(self) -> bool:
        """Whether the store answers now, and no end is in memory only."""
        if self._arrears is not None and self._arrears.full:
            return False
        try:
            await self._store.read(
                lambda connection: connection.scalar(select(func.count()).select_from(meta))
            )
        except Unavailable:
            return False
        return True

    async def close(self) -> None:
        """Write what waits and let go of the database. Idempotent."""
        await self._upkeep.aclose()
        await self.backups.aclose()
        await self._writer.close()
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self._arrears is not None:
            await self._arrears.aclose()
        await self._store.close()


async def _open_arrears(path: Path) -> Arrears:
    try:
        return await Arrears.open(path)
    except OSError as error:
        raise LedgerRefused(
            f"The file {path}, which keeps what calls cost while the database is away, cannot be opened: "
            f"{error.strerror}."
        ) from None


def _prepare(connection: Connection) -> str:
    """What a start does to the schema, in one transaction; returns the instance id."""
    migrate(connection)
    if identity.settle(connection):
        _log.warning("ledger_id_renewed", because="it lies in another database than before")
    return identity.of(connection)
