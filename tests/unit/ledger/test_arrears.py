"""What calls cost is kept while the database is away: synced, in order, written once it is back."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from gateway.errors import Unavailable
from gateway.ledger import arrears as arrears_module
from gateway.ledger import ledger as ledger_module
from gateway.ledger import sqlite_store
from gateway.ledger.arrears import Arrears
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Charge
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.store import Unasked
from tests.unit.ledger.dying import killed
from tests.unit.ledger.entries import (
    attempt,
    end,
    request,
    request_end,
    spent,
    stored_attempts,
    stored_requests,
)

URL = "sqlite:///imagegate.db"


class Lock:
    """Another program that holds the database's write lock: to the gateway, the store is away."""

    def __init__(self, path: Path) -> None:
        self._link = sqlite3.connect(path, isolation_level=None)

    def take(self) -> None:
        self._link.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._link.execute("ROLLBACK")

    def close(self) -> None:
        self._link.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "arrears"


@pytest.fixture
async def ledger(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.2)
    opened = await Ledger.open(URL, tmp_path, arrears=file)
    yield opened
    await opened.close()


@pytest.fixture
def lock(tmp_path: Path, ledger: Ledger) -> Iterator[Lock]:
    held = Lock(tmp_path / "imagegate.db")
    yield held
    held.close()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    logger = CapturingLogger()
    monkeypatch.setattr(ledger_module, "_log", logger)
    return logger


async def test_f23_an_end_while_the_database_is_away_is_kept_and_written_when_it_is_back(
    ledger: Ledger, lock: Lock, file: Path, logged: CapturingLogger
) -> None:
    await ledger.record(request("r"), attempt("r"))
    lock.take()
    await ledger.record(end("r/1"), request_end("r"))
    assert ledger.arrears[0] == 1
    assert file.stat().st_size > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert ("warning", ("settle_spooled",), {"waiting": 1, "age_seconds": 0}) in logged.calls
    lock.release()
    assert await spent(ledger) == 0
    for _ in range(60):  # the ledger does it by itself within a second
        if ledger.arrears == (0, 0):
            break
        await asyncio.sleep(0.05)
    assert await spent(ledger) == 210_775_000
    assert (await stored_requests(ledger))["r"].status == 200
    assert file.stat().st_size == 0
    assert [call.kwargs["count"] for call in logged.calls if call.args == ("settle_replayed",)] == [1]


async def test_a_second_end_does_not_wait_for_a_database_that_is_known_to_be_away(
    ledger: Ledger, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.record(request("r"), attempt("r"), attempt("r", 2))
    lock.take()
    await ledger.record(end("r/1"))

    async def never(*rows: object, **options: object) -> None:
        raise AssertionError("the database was asked again")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._writer, "write", never)
        await ledger.record(end("r/2"))
    assert ledger.arrears[0] == 2
    lock.release()
    assert await ledger.replay() == 2
    assert await spent(ledger) == 2 * 210_775_000


async def test_f22_a_beginning_is_never_kept_for_later(ledger: Ledger, lock: Lock) -> None:
    lock.take()
    with pytest.raises(Unavailable) as refused:
        await ledger.record(request("r"), attempt("r"))
    assert (refused.value.code, refused.value.retryable) == ("ledger_unavailable", True)
    assert ledger.arrears == (0, 0)
    lock.release()


async def test_nothing_begins_while_more_waits_than_an_outage_leaves(
    ledger: Ledger, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was spent is kept all the same."""
    monkeypatch.setattr(arrears_module, "MOST_WAITING", 2)
    await ledger.record(request("r"), *(attempt("r", number) for number in (1, 2, 3)))
    lock.take()
    for number in (1, 2, 3):
        await ledger.record(end(f"r/{number}"))
    with pytest.raises(Unasked) as refused:
        await ledger.record(request("s"), attempt("s"))
    assert (refused.value.code, refused.value.retryable) == ("ledger_unavailable", True)
    lock.release()
    assert await ledger.replay() == 3
    await ledger.record(request("s"), attempt("s"))
    assert await spent(ledger) == 3 * 210_775_000


async def test_a_cancelled_caller_does_not_take_the_end_with_it(ledger: Ledger, lock: Lock) -> None:
    await ledger.record(request("r"), attempt("r"))
    lock.take()
    ending = asyncio.create_task(ledger.record(end("r/1")))
    await asyncio.sleep(0.02)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    for _ in range(60):
        if ledger.arrears[0]:
            break
        await asyncio.sleep(0.05)
    lock.release()
    await ledger.replay()
    assert await spent(ledger) == 210_775_000


async def test_what_a_killed_process_kept_is_written_at_the_next_start(tmp_path: Path, file: Path) -> None:
    program = """
import asyncio, os, pathlib, signal, sqlite3
from gateway.ledger import sqlite_store
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState
from tests.unit.ledger.entries import attempt, end, request
sqlite_store.BUSY_SECONDS = 0.1
async def main():
    folder = pathlib.Path(os.environ["FOLDER"])
    ledger = await Ledger.open("sqlite:///imagegate.db", folder, arrears=folder / "data" / "arrears")
    await ledger.record(request("r"), *(attempt("r", n) for n in (1, 2, 3)))
    sqlite3.connect(folder / "imagegate.db", isolation_level=None).execute("BEGIN IMMEDIATE")
    await ledger.record(end("r/1", cost=7))
    await ledger.record(end("r/2", AttemptState.RELEASED, 0))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    await killed(program, tmp_path)
    assert file.read_bytes().count(b"\n") == 2
    for _ in range(2):
        ledger = await Ledger.open(URL, tmp_path, arrears=file)
        try:
            states = {rid: row.state for rid, row in (await stored_attempts(ledger)).items()}
            assert states == {"r/1": "settled", "r/2": "released", "r/3": "unknown"}
            assert await spent(ledger) == 7
            assert ledger.arrears == (0, 0)
        finally:
            await ledger.close()


async def test_a_torn_line_is_dropped_and_the_whole_ones_before_it_are_written(
    tmp_path: Path, file: Path
) -> None:
    ledger = await Ledger.open(URL, tmp_path)
    await ledger.record(request("r"), attempt("r"), attempt("r", 2))
    await ledger.close()
    kept = await Arrears.open(file)
    await kept.add([end("r/1", cost=3)])
    await kept.add([end("r/2", cost=4)])
    await kept.aclose()
    os.truncate(file, file.stat().st_size - 5)
    ledger = await Ledger.open(URL, tmp_path, arrears=file)
    try:
        assert await spent(ledger) == 3
        assert (await stored_attempts(ledger))["r/2"].state == "unknown"
    finally:
        await ledger.close()


async def test_a_line_that_makes_no_sense_is_set_aside_and_keeps_no_other_back(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(arrears_module, "_log", logger)
    ledger = await Ledger.open(URL, tmp_path)
    await ledger.record(request("r"), attempt("r"))
    await ledger.close()
    kept = await Arrears.open(file)
    await kept.add([end("nobody/1", cost=1)])
    await kept.add([end("r/1", cost=2)])
    await kept.aclose()
    file.write_bytes(b"00000000 {}\n" + file.read_bytes())
    ledger = await Ledger.open(URL, tmp_path, arrears=file)
    try:
        assert await spent(ledger) == 2
        assert ledger.arrears == (0, 0)
        rejected = file.with_name("arrears.rejected").read_bytes().splitlines()
        assert len(rejected) == 2
        assert b"nobody/1" in rejected[1]
        assert [call.args for call in logger.calls] == [("arrears_rejected",)] * 2
        assert "nobody" not in repr(logger.calls)
    finally:
        await ledger.close()


async def test_an_end_is_kept_exactly_as_it_was_given(file: Path) -> None:
    entries = [
        end(
            "r/1",
            AttemptState.SETTLED,
            error_code="a\ud800\0\nb",
            charge=Charge(None, ("x", "y"), "v", None, None),
        ),
        request_end("r", 502, None),
        end("r/2", AttemptState.RELEASED, 0, usage=None, sent=False),
    ]
    kept = await Arrears.open(file)
    await kept.add(entries)
    await kept.aclose()
    again = await Arrears.open(file)
    seen: list[object] = []

    async def write(ends: object) -> None:
        seen.append(ends)

    assert await again.replay(write) == 1
    await again.aclose()
    assert seen == [entries]


async def test_f24_a_full_disk_is_told_and_new_work_is_refused_until_the_end_is_written(
    ledger: Ledger, lock: Lock, file: Path, monkeypatch: pytest.MonkeyPatch, logged: CapturingLogger
) -> None:
    await ledger.record(request("r"), attempt("r"), attempt("r", 2))
    lock.take()
    await ledger.record(end("r/1", cost=1))
    whole = file.read_bytes()
    wrote, room = os.pwrite, [20]

    def fills(descriptor: int, data: bytes, offset: int) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return wrote(descriptor, data[: room.pop()], offset)

    with monkeypatch.context() as patched:
        patched.setattr(arrears_module.os, "pwrite", fills)
        with pytest.raises(Unavailable) as refused:
            await ledger.record(end("r/2", cost=2))
    assert refused.value.retryable is False
    assert file.read_bytes() == whole, "half a line would swallow the next one"
    assert not await ledger.ready()
    lock.release()
    with pytest.raises(Unavailable):
        await ledger.record(request("new"), attempt("new"))
    assert await ledger.replay() == 2
    assert await spent(ledger) == 3
    assert await ledger.ready()
    await ledger.record(request("new"), attempt("new"))
    assert any(call.args == ("settle_in_memory",) for call in logged.calls)


async def test_arrears_that_cannot_be_opened_stop_the_start_with_words(tmp_path: Path, file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(LedgerRefused, match="arrears"):
        await Ledger.open(URL, tmp_path, arrears=file)


async def test_ends_of_a_postgresql_that_is_gone_are_kept(
    postgres_database: str, tmp_path: Path, file: Path
) -> None:
    import asyncpg

    base, _, name = postgres_database.replace("+asyncpg", "").rpartition("/")
    ledger = await Ledger.open(postgres_database, tmp_path, arrears=file)
    admin = await asyncpg.connect(f"{base}/postgres")
    try:
        await ledger.record(request("r"), attempt("r"))
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        await ledger.record(end("r/1", cost=5))
        assert ledger.arrears[0] == 1
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await ledger.replay()
        assert ledger.arrears[0] == 0
        assert await spent(ledger) == 5
    finally:
        await admin.close()
        await ledger.close()
