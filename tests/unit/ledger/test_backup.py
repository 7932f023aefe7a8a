"""A copy of a ledger that is written to meanwhile: whole, checked, for its owner alone, over nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger import backup
from gateway.ledger.backup import Stopped, copy
from gateway.ledger.ledger import Ledger
from gateway.ledger.migrate import HEAD
from gateway.quota.in_epoch import tag_of
from tests.unit.ledger.entries import NOON, attempt, end, request, request_end, spent, stored_attempts

URL = "sqlite:///data/imagegate.db"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(URL, tmp_path)
    yield opened
    await opened.close()


async def paid(ledger: Ledger, name: str, cost: int = 1) -> None:
    await ledger.record(request(name), attempt(name))
    await ledger.record(end(f"{name}/1", cost=cost), request_end(name, cost=cost))


async def made(ledger: Ledger, target: Path) -> backup.Copied:
    backup_id = ledger.backups.begin(target)
    found = await ledger.backups.wait(backup_id, 30)
    assert found is not None
    return found


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_holds_what_was_durable_when_it_was_begun(ledger: Ledger, tmp_path: Path) -> None:
    await paid(ledger, "r", 7)
    copies = tmp_path / "copies"
    copies.mkdir()
    found = await made(ledger, copies / "b.db")
    assert (found.schema, found.newest, found.keys) == (HEAD, NOON, 0)
    assert left(copies) == ["b.db"], "one file, and nothing beside it"
    assert stat.S_IMODE((copies / "b.db").stat().st_mode) == 0o600
    assert (copies / "b.db").stat().st_size == found.size
    await paid(ledger, "later", 9)
    restored = await Ledger.open("sqlite:///b.db", copies)
    try:
        assert await spent(restored) == 7
        assert restored.instance_id != ledger.instance_id
        assert tag_of(restored.instance_id) == tag_of(ledger.instance_id)
    finally:
        await restored.close()


async def test_writers_go_on_while_it_is_copied_and_it_is_of_one_moment(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of the copy waits for another call to be written: a copy that saw them would begin anew with
    each, and never end."""
    for number in range(50):
        await paid(ledger, f"before{number}")
    loop, during = asyncio.get_running_loop(), 0
    monkeypatch.setattr(backup, "PAGES", 4)

    class Pausing(threading.Event):
        def is_set(self) -> bool:
            nonlocal during
            if threading.current_thread() is not threading.main_thread() and during < 20:
                during += 1
                asyncio.run_coroutine_threadsafe(paid(ledger, f"during{during}"), loop).result(30)
            return super().is_set()

    await asyncio.to_thread(copy, tmp_path / "data" / "imagegate.db", tmp_path / "b.db", Pausing())
    assert during > 5
    assert await spent(ledger) == 50 + during
    restored = await Ledger.open("sqlite:///b.db", tmp_path)
    try:
        assert set(await stored_attempts(restored)) == {f"before{number}/1" for number in range(50)}
    finally:
        await restored.close()


async def test_nothing_is_ever_written_over(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("b.db", "b.db-wal", "b.db-journal"):
        (tmp_path / name).write_text("somebody's")
        with pytest.raises(InvalidRequest, match="exists"):
            await made(ledger, tmp_path / "b.db")
        assert (tmp_path / name).read_text() == "somebody's"
        (tmp_path / name).unlink()
    os.symlink(tmp_path / "nowhere", tmp_path / "b.db")
    with pytest.raises(InvalidRequest, match="exists"):
        await made(ledger, tmp_path / "b.db")
    with pytest.raises(InvalidRequest, match="no folder"):
        await made(ledger, tmp_path / "missing" / "b.db")


async def test_a_damaged_database_is_not_copied_and_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    for number in range(40):
        await paid(ledger, f"r{number}")
    await ledger.close()
    path = tmp_path / "data" / "imagegate.db"
    size = path.stat().st_size
    with path.open("r+b") as file:  # the leaves of its indexes and tables; the schema is on the first pages
        file.seek(size - 8 * 4096)
        file.write(b"\x55" * 4096 * 4)
    (tmp_path / "copies").mkdir()
    with pytest.raises(InvalidRequest, match=r"damaged|cannot be copied"):
        copy(path, tmp_path / "copies" / "b.db", threading.Event())
    assert left(tmp_path / "copies") == []


def test_another_database_is_no_backup(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as link:
        link.execute("CREATE TABLE t (x)")
    with pytest.raises(InvalidRequest, match="no ledger of imagegate"):
        copy(tmp_path / "other.db", tmp_path / "b.db", threading.Event())
    (tmp_path / "text.db").write_text("no database at all, but a file of some length\n" * 100)
    with pytest.raises(InvalidRequest, match="cannot be copied"):
        copy(tmp_path / "text.db", tmp_path / "b.db", threading.Event())
    assert left(tmp_path) == ["other.db", "text.db"]


async def test_the_end_of_the_server_gives_it_up_and_leaves_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES", 1)
    await paid(ledger, "r")
    (tmp_path / "copies").mkdir()
    backup_id = ledger.backups.begin(tmp_path / "copies" / "b.db")
    ledger.backups._stop.set()
    with pytest.raises(InvalidRequest, match="the backup was given up"):
        await ledger.backups.wait(backup_id, 30)
    assert left(tmp_path / "copies") == []
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        copy(tmp_path / "data" / "imagegate.db", tmp_path / "copies" / "b.db", stopped)


async def test_one_is_made_at_a_time_and_asked_for_by_its_id(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: object) -> backup.Copied:
        begun.set()
        go_on.wait(30)
        return copy(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("gateway.ledger.backups.copy", slow)
    backup_id = ledger.backups.begin(tmp_path / "b.db")
    assert await asyncio.to_thread(begun.wait, 30)
    assert await ledger.backups.wait(backup_id, 0.01) is None
    with pytest.raises(InvalidRequest, match="being made already"):
        ledger.backups.begin(tmp_path / "c.db")
    with pytest.raises(NotFound):
        await ledger.backups.wait("backup_other", 0)
    go_on.set()
    found = await ledger.backups.wait(backup_id, 30)
    assert found is not None
    assert found.path == tmp_path / "b.db"


async def test_a_ledger_in_postgresql_says_what_backs_it_up(postgres_database: str, tmp_path: Path) -> None:
    ledger = await Ledger.open(postgres_database, tmp_path)
    try:
        with pytest.raises(InvalidRequest, match="pg_dump"):
            ledger.backups.begin(tmp_path / "b.db")
    finally:
        await ledger.close()
