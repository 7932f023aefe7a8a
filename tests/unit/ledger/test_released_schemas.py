"""A ledger of every released schema comes to this version's with all that it means."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gateway.ledger.accounts.journal import signing_key
from gateway.ledger.counted import Span
from gateway.ledger.keyformat import digest
from gateway.ledger.ledger import Ledger
from gateway.ledger.migrate import HEAD, migrate
from gateway.ledger.opening import open_store
from gateway.ledger.tables import from_micros
from gateway.quota.holds import load
from tests.servers import ROOT
from tests.unit.accounts.books import NAMES, lines
from tests.unit.ledger import released
from tests.unit.ledger.entries import attempt, end, request, request_end

OCTOBER, DECEMBER = datetime(2024, 10, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC)

SETTLED = {"0001": 250_775_000, "0003": 3_000_000, "0004": 4_000_000, "0006": 6_000_000}
"""Nano-dollars that the rows of a revision settle."""
CALLS = {"0001": 6, "0003": 1, "0004": 1, "0006": 1}
UNPRICED_HOLD = 210_845_000
"""What counts against limits for the call that was settled without a price."""

ATTEMPTS = ("attempt_id", "state", "cost", "hold", "hold_amount", "expected", "admitted_at", "total_tokens")
REQUESTS = ("request_id", "received_at", "status", "cost", "end_user", "tags", "labels", "client_gone")

REMEDY = (
    "A released migration is never changed: databases out there have run it as it was. Put it back, and add "
    "a new revision."
)


async def with_store(database: str, base: Path, work: Callable[[Connection], Any]) -> Any:
    store = await open_store(database, base)
    try:
        return await store.write(work)
    finally:
        await store.close()


def of(amounts: dict[str, int], revision: str) -> int:
    return sum(amounts.get(each, 0) for each in released.written_in(revision))


def test_every_revision_has_rows_of_its_own_time_and_its_hash() -> None:
    """A new revision needs a file in tests/unit/ledger/released with what its schema holds besides, and a
    line in migrations.sha256 (sha256sum gateway/ledger/migrations/versions/rNNNN_*.py)."""
    assert released.REVISIONS[-1] == HEAD
    assert {path.name[:4] for path in released.FOLDER.glob("*.sql")} == set(released.REVISIONS)
    names = {path.name for path in released.scripts().values()}
    assert set(released.hashes()) == names


@pytest.mark.parametrize("revision", released.REVISIONS)
def test_no_released_migration_was_changed(revision: str) -> None:
    path = released.scripts()[revision]
    assert released.digest_of(path) == released.hashes()[path.name], REMEDY


@pytest.mark.parametrize("revision", released.REVISIONS)
async def test_its_rows_keep_their_meaning(database: str, tmp_path: Path, revision: str) -> None:
    def before(connection: Connection) -> Any:
        released.make(connection, revision)
        return facts(connection)

    were = await with_store(database, tmp_path, before)
    ledger = await Ledger.open(database, tmp_path)
    try:
        alone = ledger._store.dialect == "sqlite"
        assert await ledger._store.read(lambda c: facts(c, interrupted=alone)) == were
        assert ledger.instance_id == "0123456789abcdef0123456789abcdef"
        await check_money(ledger, revision)
        await check_keys(ledger)
        if revision >= "0002":
            await check_accounts(ledger)
        if revision >= "0005":
            kept = [await ledger.results.get(name) for name in ("req_running", "req_0004", "req_lost")]
            assert [each and each.state for each in kept] == ["running", "done", "lost"]
            (message,) = await ledger.outbox.take(datetime.now(UTC), datetime.now(UTC), 10)
            assert (message.message_id, message.tries) == ("msg_1", 2)
        await check_it_goes_on(ledger)
    finally:
        await ledger.close()


def facts(connection: Connection, *, interrupted: bool = False) -> Any:
    """What no upgrade may change. A start on SQLite finds what a killed process left; that is not it."""
    tried = {row[0]: row[1:] for row in released.rows(connection, "attempts", *ATTEMPTS)}
    if interrupted:
        assert tried["req_running/1"][0] == "unknown"
        tried["req_running/1"] = ("dispatched", *tried["req_running/1"][1:])
    keys = released.rows(connection, "api_keys", "key_id", "digest", "models", "revoked_at")
    return tried, released.rows(connection, "requests", *REQUESTS), keys


async def check_money(ledger: Ledger, revision: str) -> None:
    """By reports, by what limits count, before the rollups catch up and after."""
    settled = of(SETTLED, revision)
    for _ in range(2):
        report = await ledger.usage(since=OCTOBER, until=DECEMBER, by=(), timezone="UTC")
        assert (report.total.cost, report.total.requests) == (settled, of(CALLS, revision))
        assert (report.total.unknown_cost, report.total.failed) == (3, 2)
        snapshot = await ledger.snapshot(
            ["req_lost/1"], None, [Span(from_micros(0)), Span(OCTOBER, DECEMBER)]
        )
        for sums in snapshot.sums:
            assert sum(each.spend for each in sums) == settled + UNPRICED_HOLD
        still = {each.attempt_id: each for each in snapshot.open}
        assert set(still) == {"req_lost/1", "req_running/1"}
        hold = load(still["req_lost/1"].hold or "")
        assert (hold.rid, hold.lines[0].amount) == ("req_lost/1", UNPRICED_HOLD)
        await ledger.roll_up()


async def check_keys(ledger: Ledger) -> None:
    found = await ledger.keys.find(digest(released.KEY, released.PEPPER))
    assert found is not None
    assert (found.id, found.models, found.revoked_at) == ("key_used", ["gpt-image-2"], None)
    revoked = [each.id for each in await ledger.keys.list() if each.revoked_at is not None]
    assert revoked == ["key_revoked"]


async def check_accounts(ledger: Ledger) -> None:
    """The closed month is as it was written, its unknown call is carried, and the journal is as signed."""
    (month,) = await ledger.accounts.months()
    assert (month.cost, month.unknown, month.attempts) == (250_775_000, 210_775_000, 4)
    assert [line.cost for line in await lines(ledger, "2024-10", "UTC", NAMES)] == [
        210_775_000,
        0,
        40_000_000,
        None,
    ]
    (credit,) = await ledger.accounts.credits()
    assert (credit.scope, credit.amount) == ("project:proj_growth", 5_000_000_000)
    book = await ledger.accounts.book(signing_key(released.PEPPER))
    assert (len(book.entries), book.broken, book.altered) == (2, None, [])
    await ledger.record(end("req_lost/1", cost=99, ended_at=datetime(2024, 11, 20, tzinfo=UTC)))
    adjusted = [line for line in await lines(ledger, "2024-11", "UTC", NAMES) if line.kind == "adjustment"]
    assert [(line.attempt_id, line.cost, line.unknown) for line in adjusted] == [
        ("req_lost/1", 99, -210_775_000)
    ]


async def check_it_goes_on(ledger: Ledger) -> None:
    await ledger.record(request("new"), attempt("new"))
    await ledger.record(end("new/1", cost=1), request_end("new", cost=1))
    assert (await ledger.begin_epoch("run")).number == 2


async def schema_of(database: str, base: Path) -> dict[str, Any]:
    """Tables, columns, constraints and indexes, in the database's own words."""

    def look(connection: Connection) -> dict[str, Any]:
        if connection.dialect.name == "sqlite":
            query = "SELECT name, sql FROM sqlite_master WHERE name <> 'alembic_version'"
            return {row.name: row.sql for row in connection.execute(text(query))}
        columns = connection.execute(
            text(
                "SELECT table_name, column_name, data_type, is_nullable, column_default, ordinal_position "
                "FROM information_schema.columns WHERE table_schema = 'public'"
            )
        )
        constraints = connection.execute(
            text(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = 'public'::regnamespace"
            )
        )
        indexes = connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
        )
        groups = {"columns": columns, "constraints": constraints, "indexes": indexes}
        return {name: sorted(tuple(row) for row in found) for name, found in groups.items()}

    return dict(await with_store(database, base, look))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_its_schema_is_then_that_of_a_fresh_ledger_and_another_start_changes_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    names = ["fresh", *(f"of_{revision}" for revision in released.REVISIONS)]
    databases = [f"sqlite:///{name}.db" for name in names]
    if kind == "postgresql":
        databases = await made(str(request.getfixturevalue("postgres_url")), names)
    await with_store(databases[0], tmp_path, migrate)
    fresh = await schema_of(databases[0], tmp_path)
    for revision, database in zip(released.REVISIONS, databases[1:], strict=True):
        await with_store(database, tmp_path, partial(released.make, revision=revision))
        assert await with_store(database, tmp_path, migrate) == revision
        assert await schema_of(database, tmp_path) == fresh, revision
        assert await with_store(database, tmp_path, migrate) == HEAD
        assert await schema_of(database, tmp_path) == fresh, revision


async def made(server: str, names: Sequence[str]) -> list[str]:
    """Databases of these names on that server: their URLs."""
    import asyncpg

    link = await asyncpg.connect(server.replace("+asyncpg", ""))
    try:
        for name in names:
            await link.execute(f"CREATE DATABASE {name}")
    finally:
        await link.close()
    return [f"{server.rpartition('/')[0]}/{name}" for name in names]


KILLED = """
import asyncio, sys, time
from pathlib import Path
from gateway.ledger.migrate import migrate
from gateway.ledger.opening import open_store

def work(connection):
    migrate(connection)
    print("migrated", flush=True)
    time.sleep(60)

async def main():
    await (await open_store(sys.argv[1], Path(sys.argv[2]))).write(work)

asyncio.run(main())
"""


async def test_a_migration_that_was_killed_has_changed_nothing_and_is_done_by_the_next_start(
    database: str, tmp_path: Path
) -> None:
    """All steps are one transaction, on both databases."""
    await with_store(database, tmp_path, lambda c: released.make(c, "0001"))
    old = await schema_of(database, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, database, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "migrated\n"
        process.send_signal(signal.SIGKILL)
    assert await schema_of(database, tmp_path) == old
    assert await with_store(
        database, tmp_path, lambda c: released.rows(c, "alembic_version", "version_num")
    ) == [("0001",)]
    ledger = await Ledger.open(database, tmp_path)
    try:
        await check_money(ledger, "0001")
    finally:
        await ledger.close()


AT_ONCE = """
import asyncio, sys
from pathlib import Path
from gateway.ledger.migrate import migrate
from gateway.ledger.opening import open_store

async def main():
    store = await open_store(sys.argv[1], Path())
    print("ready", flush=True)
    sys.stdin.readline()
    print(await store.write(migrate), flush=True)
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_start_at_once_on_an_old_ledger_upgrade_it_once(
    postgres_database: str, tmp_path: Path
) -> None:
    """On SQLite the lock beside the file lets one in at a time."""
    await with_store(postgres_database, tmp_path, partial(released.make, revision="0001"))
    command = (sys.executable, "-c", AT_ONCE, postgres_database)
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    said = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert sorted(out for out, _ in said) == [b"0001\n", *[f"{HEAD}\n".encode()] * 2]
    ledger = await Ledger.open(postgres_database, tmp_path)
    try:
        await check_money(ledger, "0001")
    finally:
        await ledger.close()
