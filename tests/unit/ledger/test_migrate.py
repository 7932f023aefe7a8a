"""The schema: made once, equal to the tables in the code, never run by a version that does not know it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from gateway.ledger.ledger import Ledger
from gateway.ledger.migrate import HEAD
from gateway.ledger.refusals import SchemaTooNew
from gateway.ledger.tables import metadata
from tests.unit.ledger.entries import attempt, request
from tests.unit.ledger.released import alembic


async def test_the_migrations_make_exactly_the_tables_of_the_code(ledger: Ledger) -> None:
    def difference(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await ledger._store.write(difference) == []


async def test_both_schemas_have_the_same_text_on_sqlite(tmp_path: Path) -> None:
    """Checks, STRICT and partial indexes, which a comparison of metadata does not see."""
    await (await Ledger.open("sqlite:///migrated.db", tmp_path)).close()

    def schema(path: Path) -> dict[str, str]:
        with sqlite3.connect(path) as connection:
            rows = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
            )
            return {name: " ".join(sql.split()) for name, sql in rows}

    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(engine)
    engine.dispose()
    migrated, direct = schema(tmp_path / "migrated.db"), schema(tmp_path / "direct.db")
    assert migrated.keys() == direct.keys()
    for name, sql in direct.items():
        assert sorted(migrated[name].replace(",", " ").split()) == sorted(sql.replace(",", " ").split()), name
    assert all("STRICT" in migrated[table] for table in metadata.tables)


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    assert ScriptDirectory.from_config(alembic()).get_heads() == [HEAD]


async def test_an_older_binary_refuses_a_newer_schema_and_changes_nothing(
    database: str, tmp_path: Path
) -> None:
    ledger = await Ledger.open(database, tmp_path)
    await ledger.record(request("r"), attempt("r"))
    await ledger._store.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await ledger.close()
    with pytest.raises(SchemaTooNew, match=r"newer imagegate.*9999"):
        await Ledger.open(database, tmp_path)


async def test_replicas_that_start_together_migrate_once(postgres_database: str, tmp_path: Path) -> None:
    replicas = await asyncio.gather(*(Ledger.open(postgres_database, tmp_path) for _ in range(4)))
    try:
        assert len({replica.instance_id for replica in replicas}) == 1
    finally:
        for replica in replicas:
            await replica.close()
