"""Which slots of the rollups a transaction has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from gateway.ledger import counted, reports
from gateway.ledger.rollups import Rollup, chunks, mark
from gateway.ledger.tables import attempts, requests

ROLLUPS = (reports.ROLLUP, counted.ROLLUP)


def by_batch(
    connection: Connection,
    *,
    received: Sequence[datetime] = (),
    begun: Sequence[str] = (),
    ended: Sequence[str] = (),
    requests_ended: Sequence[str] = (),
) -> None:
    """Mark what a batch changes: new requests (their moments), attempts that begun for older requests, and
    attempts and requests that ended (their ids). What has only begun counts in reports and not yet against
    limits."""
    slots: set[tuple[Rollup, int]] = set(reports.slots(received))
    slots |= reports.slots(_moments(connection, attempts.c.received_at, attempts.c.attempt_id, begun))
    slots |= reports.slots(
        _moments(connection, requests.c.received_at, requests.c.request_id, requests_ended)
    )
    both = (attempts.c.received_at, attempts.c.admitted_at)
    for part in chunks(ended):
        query = select(*both).where(attempts.c.attempt_id.in_(part)).distinct()
        for at_reception, at_admission in connection.execute(query):
            slots |= reports.slots([at_reception]) | counted.slots([at_admission])
    mark(connection, slots)


def _moments(connection: Connection, column: Any, key: Any, ids: Sequence[str]) -> Iterable[datetime]:
    for part in chunks(ids):
        yield from connection.scalars(select(column).where(key.in_(part)).distinct())
