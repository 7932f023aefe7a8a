"""From where on there are rows: what is older was removed by ``retention.py``, and is only in the sums.

Kept in ``meta``, in the transaction before the first row goes, so that nobody reads rows that are half gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger.tables import from_micros, meta, to_micros

ROWS = "rows_from"
"""Requests received before, and their attempts, are removed."""
LOG = "request_log_from"
"""Requests received before are no longer told of."""
CLEARED = "request_log_cleared_to"
"""Requests received before have been cleared of what only the log needs."""

HOUR_MICROS = 3_600_000_000
"""Rows go by whole hours, which are whole slots of every rollup."""

NEAR_MICROS = 24 * HOUR_MICROS
"""No call is admitted so long after it was received, or the other way round."""

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def of(connection: Connection, name: str) -> int:
    """Microseconds since 1970; 0: nothing was removed yet."""
    return int(connection.scalar(select(meta.c.value).where(meta.c.name == name)) or 0)


def put(connection: Connection, name: str, micros: int) -> None:
    insert = _INSERTS[connection.dialect.name](meta).values(name=name, value=str(micros))
    changed = {"value": insert.excluded.value}
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))


def summed_before(connection: Connection) -> int:
    """Before it, in microseconds, every slot of the rollups is made and will never change: there only they
    are read. 0: nowhere."""
    rows = of(connection, ROWS)
    return rows + NEAR_MICROS if rows else 0


def rows_from(connection: Connection) -> datetime | None:
    """None: all rows are there."""
    rows = of(connection, ROWS)
    return from_micros(rows) if rows else None


def told_from(connection: Connection) -> datetime:
    return from_micros(of(connection, LOG))


def whole_hour(moment: datetime) -> int:
    """The microseconds of the hour in which it lies."""
    return to_micros(moment) // HOUR_MICROS * HOUR_MICROS
