"""The schema: made once, equal to the tables in the code, never run by a version that does not know it."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from gateway.ledger.ledger import Ledger
from gateway.ledger.migrate import HEAD
from gateway.ledger.refusals import SchemaTooNew
from gateway.ledger.store import open_store
from gateway.ledger.tables import meta, metadata, to_micros
from tests.unit.ledger.entries import NOON, attempt, end, request, request_end, spent, stored_requests


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
    assert ScriptDirectory.from_config(_settings()).get_heads() == [HEAD]


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


async def test_a_database_of_revision_2_is_upgraded_with_all_that_it_holds(
    database: str, tmp_path: Path
) -> None:
    def make(connection: Connection) -> None:
        settings = _settings()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0002")
        assert {"attempts_spent", "attempts_spent_by_project"} <= _indexes(connection)
        connection.execute(meta.insert(), {"name": "instance_id", "value": "as before"})
        _write_as_revision_2_did(connection)

    store = await open_store(database, tmp_path)
    await store.write(make)
    await store.close()
    ledger = await Ledger.open(database, tmp_path)
    try:
        assert ledger.instance_id == "as before"
        assert await spent(ledger) == 7
        served = replace(request_end("r"), size_requested="16:9", size_sent="1280x720", adjustments="[]")
        await ledger.record(end("r/2", cost=5), served)
        (row,) = (await stored_requests(ledger)).values()
        assert (row.size_requested, row.size_sent, row.size_received) == ("16:9", "1280x720", None)
        assert (row.size, row.adjustments) == ("1024x1024", "[]")
        report = await ledger.usage(since=NOON, until=NOON + timedelta(hours=1), by=(), timezone="UTC")
        assert (report.total.requests, report.total.cost) == (1, 12)
        kept = await ledger._store.read(_indexes)
        assert kept == {"attempts_received", "attempts_counted", "attempts_open"}
    finally:
        await ledger.close()


def _write_as_revision_2_did(connection: Connection) -> None:
    """A request with an attempt that cost 7 and one that still runs; in plain SQL, since the code's own
    statements know later columns."""
    at = to_micros(NOON)
    scope = {"project_id": "p", "key_id": "k", "model": "gpt-image-2", "received_at": at}
    rows = [
        ("requests", {"request_id": "r", "operation": "generations", "n": 1, "size": "1024x1024", **scope})
    ]
    for ordinal, end_of in (
        (1, {"state": "settled", "ended_at": at, "cost": 7}),
        (2, {"state": "dispatched"}),
    ):
        attempt_of = {"attempt_id": f"r/{ordinal}", "request_id": "r", "ordinal": ordinal, "epoch": 0}
        sent = {"provider": "openai", "upstream_model": "m", "dispatched_at": at, "admitted_at": at}
        counted = {"counted_requests": int(ordinal == 1), "counted_images": int(ordinal == 1)}
        rows.append(("attempts", {**attempt_of, **scope, **sent, **counted, **end_of}))
    for table, row in rows:
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def _settings() -> Config:
    settings = Config()
    settings.set_main_option("script_location", "gateway.ledger:migrations")
    settings.set_main_option("path_separator", "os")
    return settings


def _indexes(connection: Connection) -> set[str]:
    """Those of attempts, constraints' own left out."""
    found = inspect(connection).get_indexes("attempts")
    return {str(index["name"]) for index in found if not index["unique"]}
