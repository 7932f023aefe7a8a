"""Which slots of the rollups a transaction has changed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Text, bindparam, literal, select, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger import counted, reports
from gateway.ledger.prepared import Prepared
from gateway.ledger.rollups import Rollup, mark
from gateway.ledger.tables import BigInt, attempts, requests, rollup_marks

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
    mark(connection, reports.slots(received))
    token = secrets.token_hex(8)
    for ids, marks in ((begun, _OF_BEGUN), (ended, _OF_ENDED), (requests_ended, _OF_REQUESTS)):
        if ids:
            rows = [{"id": each, "token": token} for each in ids]
            for each in marks:
                each.run(connection, rows)


def _marking(rollup: Rollup, key: Column[Any], moment: Column[Any]) -> Prepared:
    """Marks the slot that a row's moment lies in, in one step. Rows of the same slot leave one mark."""

    def build(database: str) -> Any:
        slot = type_coerce(moment, BigInt) // literal(rollup.slot_micros, BigInt)
        found = select(literal(rollup.name, Text), slot, bindparam("token", type_=Text))
        names = ["rollup", "slot", "mark_id"]
        insert = _INSERTS[database](rollup_marks)
        marks = insert.from_select(names, found.where(key == bindparam("id", type_=Text)))
        return marks.on_conflict_do_nothing(index_elements=names)

    return Prepared(build)


_INSERTS: Mapping[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_OF_BEGUN = (_marking(reports.ROLLUP, attempts.c.attempt_id, attempts.c.received_at),)
_OF_ENDED = (*_OF_BEGUN, _marking(counted.ROLLUP, attempts.c.attempt_id, attempts.c.admitted_at))
_OF_REQUESTS = (_marking(reports.ROLLUP, requests.c.request_id, requests.c.received_at),)
