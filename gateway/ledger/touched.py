"""Which slots of the rollups a transaction has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, select

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
    slots |= reports.slots(row.received_at for row in _found(connection, _OF_ATTEMPTS, begun))
    slots |= reports.slots(row.received_at for row in _found(connection, _OF_REQUESTS, requests_ended))
    for row in _found(connection, _OF_ATTEMPTS, ended):
        slots |= reports.slots([row.received_at]) | counted.slots([row.admitted_at])
    mark(connection, slots)


# Made once: they run with every commit.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OF_REQUESTS = select(requests.c.received_at).where(requests.c.request_id.in_(_IDS)).distinct()
_OF_ATTEMPTS = (
    select(attempts.c.received_at, attempts.c.admitted_at).where(attempts.c.attempt_id.in_(_IDS)).distinct()
)


def _found(connection: Connection, query: Select[Any], ids: Sequence[str]) -> Iterable[Row[Any]]:
    for part in chunks(ids):
        yield from connection.execute(query, {"ids": part})
