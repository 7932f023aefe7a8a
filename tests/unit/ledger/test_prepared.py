"""Statements worked out once say and bind what SQLAlchemy would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from gateway.ledger.ledger import Ledger
from gateway.ledger.prepared import Prepared
from gateway.ledger.tables import epochs

MOMENT = datetime(2026, 11, 20, 12, 30, 0, 123456, tzinfo=UTC)


def rows(connection: Connection) -> list[tuple[int, str | None, datetime]]:
    found = connection.execute(select(epochs).order_by(epochs.c.number)).all()
    return [(row.number, row.run_id, row.begun_at) for row in found]


async def test_each_row_is_bound_by_its_columns_types(ledger: Ledger) -> None:
    insert = Prepared(lambda database: epochs.insert())

    def work(connection: Connection) -> None:
        insert.run(connection, [{"number": 1, "run_id": None, "begun_at": MOMENT}])
        more = [{"begun_at": MOMENT + timedelta(days=n), "number": n, "run_id": f"r{n}"} for n in (2, 3)]
        insert.run(connection, more)

    await ledger._store.write(work)
    later = [(n, f"r{n}", MOMENT + timedelta(days=n)) for n in (2, 3)]
    assert await ledger._store.read(rows) == [(1, None, MOMENT), *later]


async def test_a_row_that_does_not_fit_raises_what_sqlalchemy_raises(ledger: Ledger) -> None:
    insert = Prepared(lambda database: epochs.insert())
    one = {"number": 1, "run_id": None, "begun_at": MOMENT}
    with pytest.raises(IntegrityError):
        await ledger._store.write(lambda connection: insert.run(connection, [one, one]))
    assert await ledger._store.read(rows) == []


async def test_how_many_rows_a_statement_changed_is_told(ledger: Ledger) -> None:
    insert = Prepared(lambda database: epochs.insert())
    delete = Prepared(lambda database: epochs.delete().where(epochs.c.number == 7))

    def work(connection: Connection) -> tuple[int, int]:
        insert.run(connection, [{"number": 7, "run_id": None, "begun_at": MOMENT}])
        return delete.run(connection, [{}]).rowcount, delete.run(connection, [{}]).rowcount

    assert await ledger._store.write(work) == (1, 0)
