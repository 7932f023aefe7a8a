"""A PostgreSQL that is restarted under its connections costs nobody a step, and no step is done twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from gateway.ledger.opening import open_store
from gateway.ledger.postgres_store import PostgresStore
from tests import servers
from tests.conftest import NOT_TESTED
from tests.soak.stores import FAST, IMMEDIATE, Postgres

DIES_WITH_ITS_COMMIT = (
    """CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER die AFTER INSERT ON steps DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION die()""",
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Postgres]:
    try:
        with Postgres() as running:
            yield running
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")


@pytest_asyncio.fixture
async def store(server: Postgres, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    opened = await open_store(server.url, tmp_path)
    assert isinstance(opened, PostgresStore)
    await opened.write(lambda connection: connection.execute(text("CREATE TABLE steps (number integer)")))
    yield opened
    await opened.close()


def step(connection: Connection) -> None:
    connection.execute(text("INSERT INTO steps VALUES (1)"))


async def steps(store: PostgresStore) -> int:
    return await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM steps")) or 0)


@pytest.mark.parametrize("how", [FAST, IMMEDIATE])
async def test_the_first_step_after_a_restart_is_done_once(
    store: PostgresStore, server: Postgres, how: int
) -> None:
    await store.write(step)
    await server.restart(how)
    await store.write(step)
    assert await steps(store) == 2


async def test_a_step_that_was_lost_with_its_commit_is_not_made_again_unasked(store: PostgresStore) -> None:
    made = []

    def counted(connection: Connection) -> None:
        made.append(1)
        step(connection)

    for statement in DIES_WITH_ITS_COMMIT:
        await store.write(lambda connection, words=text(statement): connection.execute(words))
    with pytest.raises(DBAPIError):
        await store.write(counted)
    assert (len(made), await steps(store)) == (1, 0)
