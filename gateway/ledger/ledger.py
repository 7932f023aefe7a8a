"""The ledger: every request, every upstream attempt and what it cost, durable before it counts.

Usage::

    ledger = await Ledger.open("sqlite:///data/imagegate.db", base)
    await ledger.record(NewRequest(…), NewAttempt(…))     # durable on return: only now may the call be sent
    await ledger.record(AttemptEnd(…), RequestEnd(…))
    await ledger.spent(since, project_id="proj_growth")   # nano-dollars
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import Connection, func, select

from gateway.errors import Unavailable
from gateway.ledger.entries import interrupt_running, to_row
from gateway.ledger.keys import KeyStore
from gateway.ledger.migrate import migrate
from gateway.ledger.records import Entry, NanoDollars
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.reports import Dimension, UsageReport, usage
from gateway.ledger.store import Store, is_away, open_store
from gateway.ledger.tables import SETTLED, attempts, meta
from gateway.ledger.writer import Writer

_log = structlog.get_logger("imagegate.ledger")

FIXED_SQLITE = (3, 51, 3)


class Ledger:
    """Open it with :meth:`open`, in the event loop that will use it; close it with :meth:`close`."""

    def __init__(self, store: Store, instance_id: str) -> None:
        self._store = store
        self._writer = Writer(store)
        self.instance_id = instance_id
        """Made once for each database: tells one deployment from another."""
        self.keys = KeyStore(store)

    @classmethod
    async def open(cls, url: str, base: Path) -> Ledger:
        """Open (and where needed make or upgrade) the database that ``storage.database`` names.

        On SQLite, attempts that a killed process left running become ``unknown``: this process is the only
        one. Raises :class:`LedgerRefused` and its kin, with words for the operator.
        """
        store = await open_store(url, base)
        try:
            instance_id, interrupted = await store.write(lambda connection: _prepare(connection))
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
        if interrupted:
            _log.warning("attempts_interrupted", count=interrupted, state="unknown")
        if store.dialect == "sqlite" and sqlite3.sqlite_version_info < FIXED_SQLITE:
            _log.warning(
                "sqlite_outdated",
                version=sqlite3.sqlite_version,
                wanted=".".join(map(str, FIXED_SQLITE)),
                consequence="a rare fault can corrupt the database; the gateway avoids what sets it off",
            )
        return cls(store, instance_id)

    async def record(self, *entries: Entry, patient: bool = False) -> None:
        """Write ``entries`` in one transaction; on return they are durable.

        Any of them may be repeated: an id is inserted once and ended once, ``settled`` and ``released`` never
        change, ``unknown`` may become ``settled``. Raises :class:`Unavailable` (``ledger_unavailable``) when
        the store is away, ValueError or ``NoSuchRow`` for entries that make no sense. A cancelled caller's
        entries are written all the same. ``patient`` entries may wait some milliseconds for company.
        """
        await self._writer.write([(type(entry), to_row(entry)) for entry in entries], patient=patient)

    async def spent(
        self, since: datetime, *, project_id: str | None = None, key_id: str | None = None
    ) -> NanoDollars:
        """What is settled for requests that were received at or after ``since``, in the given scope."""
        query = select(func.coalesce(func.sum(attempts.c.cost), 0)).where(
            SETTLED, attempts.c.received_at >= since
        )
        if project_id is not None:
            query = query.where(attempts.c.project_id == project_id)
        if key_id is not None:
            query = query.where(attempts.c.key_id == key_id)
        return NanoDollars(int(await self._store.read(lambda connection: connection.scalar(query)) or 0))

    async def usage(
        self, *, since: datetime | None, until: datetime, by: Sequence[Dimension], timezone: str
    ) -> UsageReport:
        """Requests, images, tokens and cost of [since, until), grouped; see reports.py."""
        return await self._store.read(
            lambda connection: usage(connection, since=since, until=until, by=by, timezone=timezone)
        )

    async def ready(self) -> bool:
        """Whether the store answers now."""
        try:
            await self._store.read(
                lambda connection: connection.scalar(select(func.count()).select_from(meta))
            )
        except Unavailable:
            return False
        return True

    async def close(self) -> None:
        """Write what waits and let go of the database. Idempotent."""
        await self._writer.close()
        await self._store.close()


def _prepare(connection: Connection) -> tuple[str, int]:
    """Everything a start does to the database, in one transaction: (instance id, interrupted attempts)."""
    migrate(connection)
    interrupted = 0
    if connection.dialect.name == "sqlite":
        interrupted = interrupt_running(connection, datetime.now(UTC))
    instance_id = connection.scalar(select(meta.c.value).where(meta.c.name == "instance_id"))
    return str(instance_id), interrupted
