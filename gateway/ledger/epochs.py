"""Epochs: which building of the quota counters is in force.

A new one is begun before the counters are built anew. From its COMMIT on no call may start on the word of the
old counters: an intent row that was taken from an older epoch is refused. So a store that was replaced while
it still answers somebody cannot let anybody spend.

On PostgreSQL a transaction with intent rows takes a lock that all of them share and the beginning of an
epoch excludes: an intent row is committed before the epoch begins, and then it is in the snapshot, or it is
refused.
On SQLite there is one writing transaction at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from gateway.errors import Unavailable
from gateway.ledger import identity
from gateway.ledger.tables import epochs

_ADVISORY_LOCK = 0x696D61676568  # beside migrate.py's

# A replica that is stopped in the middle of its transaction must not keep the others from a rebuild: the
# server ends the transaction of one that says nothing for so many milliseconds.
_PATIENCE = "set_config('idle_in_transaction_session_timeout', '2000', true)"


@dataclass(frozen=True, slots=True)
class EpochRow:
    """``run_id`` is that of the store which the counters were built in; None where it is not compared.
    ``ledger`` is the id of this ledger, which its counters are named after."""

    number: int
    run_id: str | None
    begun_at: datetime
    ledger: str


class Superseded(Unavailable):
    """The counters that this hold was taken from are no longer in force."""

    code = "budget_state_rebuilding"


def begin(connection: Connection, run_id: str | None, seen: int | None, now: datetime) -> EpochRow:
    """Write the next epoch. ``seen`` is the newest that the store knows of. Where this ledger has not begun
    it, the ledger was set back to a backup, or another copy of it counts in that store: it then takes another
    id, and builds counters that are its own."""
    _lock(connection, "pg_advisory_xact_lock")
    newest = _newest(connection)
    if seen is not None and seen > newest:
        identity.renew(connection)
    row = EpochRow(newest + 1, run_id, now, identity.of(connection))
    connection.execute(epochs.insert(), {"number": row.number, "run_id": run_id, "begun_at": now})
    return row


def current(connection: Connection) -> EpochRow | None:
    """The epoch in force; None before the first."""
    found = connection.execute(select(epochs).order_by(epochs.c.number.desc()).limit(1)).first()
    if found is None:
        return None
    return EpochRow(found.number, found.run_id, found.begun_at, identity.of(connection))


def refuse_superseded(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Raises :class:`Superseded` if an intent row among ``rows`` is of an older epoch than the newest.
    Epoch 0 is that of holds taken without a store, where limits are open."""
    oldest = min((row["epoch"] for row in rows if row["epoch"]), default=None)
    if oldest is None:
        return
    _lock(connection, "pg_advisory_xact_lock_shared")
    if oldest < _newest(connection):
        raise Superseded(
            "The state of budgets is being rebuilt from the ledger, so nothing was spent. "
            "Try again in a second.",
            retry_after=1,
        )


# Made once: it runs with every intent row.
_NEWEST = select(func.max(epochs.c.number))


def _newest(connection: Connection) -> int:
    return int(connection.scalar(_NEWEST) or 0)


def _lock(connection: Connection, how: str) -> None:
    # A statement of its own: the next one's snapshot must be taken after the wait.
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT {_PATIENCE}, {how}(:key)"), {"key": _ADVISORY_LOCK})
