"""Addresses of PostgreSQL: encrypted, with a stand-in, behind a pooler."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, make_url, text

from gateway.ledger.postgres_store import PostgresStore
from gateway.ledger.postgres_url import connecting
from gateway.ledger.refusals import LedgerRefused

ADDRESS = "postgresql+asyncpg://gate@db/ledger"


def test_an_address_without_options_is_left_as_it_is() -> None:
    assert connecting(make_url(ADDRESS)) == (make_url(ADDRESS), {})


def test_what_libpq_knows_is_handed_to_the_driver_in_its_words() -> None:
    url, options = connecting(make_url(f"{ADDRESS}?sslmode=verify-full&sslrootcert=/run/a%20b.pem"))
    assert str(url) == ADDRESS
    assert options == {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Frun%2Fa+b.pem"}


@pytest.mark.parametrize("option", ["foo=1", "password=hunter2", "sslMode=require"])
def test_what_nobody_knows_is_refused_and_not_quoted(option: str) -> None:
    with pytest.raises(LedgerRefused, match="can be sslmode, ") as refusal:
        connecting(make_url(f"{ADDRESS}?{option}"))
    assert "hunter2" not in str(refusal.value)


def asked(connection: Connection) -> int:
    return int(connection.execute(text("SELECT CAST(:n AS integer)"), {"n": 7}).scalar_one())


def names(connection: Connection) -> set[str]:
    return set(connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars())


def lose(connection: Connection) -> None:
    """As a pooler does that gives the next transaction another connection of the server's."""
    connection.exec_driver_sql("DEALLOCATE ALL")


async def test_a_pooler_may_lose_what_was_prepared(postgres_database: str) -> None:
    store = PostgresStore(make_url(f"{postgres_database}?sslmode=prefer&prepared_statement_cache_size=0"))
    try:
        assert await store.write(asked) == 7
        first = await store.write(names)
        await store.write(lose)
        assert await store.write(asked) == 7
        assert not first & await store.write(names)
    finally:
        await store.close()


async def test_a_demand_for_encryption_is_not_dropped(postgres_database: str) -> None:
    """The PostgreSQL of the test environment speaks no TLS."""
    store = PostgresStore(make_url(f"{postgres_database}?sslmode=require"))
    try:
        with pytest.raises(ConnectionError, match="SSL"):
            await store.write(asked)
    finally:
        await store.close()
