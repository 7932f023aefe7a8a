"""The ledger in a file: SQLite, through the standard library's driver in threads of our own, one hop per
transaction.

One connection writes and does the checkpoints, others only read: SQLite before 3.51.3 can corrupt a WAL
database that several connections write and checkpoint at once (https://www.sqlite.org/changes.html).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from gateway.ledger.lock import HeldLock, take
from gateway.ledger.refusals import InUse, LedgerRefused
from gateway.ledger.store import BUSY_SECONDS, READERS, is_away, unavailable

T = TypeVar("T")


class SqliteStore:
    """One file, one process (held by a lock beside the file), one writing thread, a few reading ones."""

    dialect = "sqlite"

    def __init__(self, path: Path, lock: HeldLock) -> None:
        self.path = path
        self._lock = lock
        self._closed = False
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        self._reader_threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._writer = _engine(path, _prepare_writer, "BEGIN IMMEDIATE", poolclass=StaticPool)
        self._writing: Connection | None = None
        """Kept open: taking it out and giving it back costs as much as a transaction of one row."""
        self._readers = _engine(
            path, _prepare_reader, "BEGIN", poolclass=QueuePool, pool_size=READERS, max_overflow=0
        )

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Raises :class:`InUse` while another process has the file open, :class:`LedgerRefused` where it
        cannot be made or read."""
        try:
            lock = await asyncio.to_thread(_claim, path)
        except InUse as busy:
            who = f"process {busy.pid}" if busy.pid else "another process"
            raise InUse(
                f"The database {path} is in use by {who}. One process opens it at a time; stop it first.",
                pid=busy.pid,
            ) from None
        except OSError as error:
            raise LedgerRefused(f"The database {path} cannot be opened: {error.strerror}.") from None
        store = cls(path, lock)
        try:
            await store.write(lambda connection: None)
        except DBAPIError as error:
            await store.close()
            raise LedgerRefused(f"The database {path} cannot be opened: {error.orig}.") from error
        return store

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer_thread, self._write, work)

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._writing is None:
            self._writing = self._writer.connect()
        try:
            with self._writing.begin():
                return work(self._writing)
        except BaseException:
            self._let_go()  # nobody knows what state it is in
            raise

    def _let_go(self) -> None:
        held, self._writing = self._writing, None
        if held is not None:
            held.close()

    def _end_writing(self) -> None:
        self._let_go()
        self._writer.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._reader_threads, _in_transaction, self._readers, work
            )
        except Exception as error:
            if is_away(error):
                raise unavailable(error) from error
            raise

    async def close(self) -> None:
        """Readers first, so that the last checkpoint is the writer's. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._reader_threads.shutdown)
        self._readers.dispose()
        await asyncio.get_running_loop().run_in_executor(self._writer_thread, self._end_writing)
        await asyncio.to_thread(self._writer_thread.shutdown)
        self._lock.release()


def _claim(path: Path) -> HeldLock:
    """Make the file where it is missing, for its owner alone (SQLite gives its other files the same mode),
    and keep other processes out."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = take(path.with_name(path.name + ".lock"))
    path.touch(mode=0o600)
    return lock


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _engine(path: Path, prepare: Callable[[sqlite3.Connection], None], begin: str, **options: Any) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # isolation_level None: the driver starts no transactions of its own, _begin does.
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": BUSY_SECONDS},
        **options,
    )

    def _connect(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection)

    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", _connect)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_writer(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # 16 MB and not 4: a checkpoint costs as much as ten commits, and someone waits for it.
    connection.execute("PRAGMA wal_autocheckpoint=4000")


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA wal_autocheckpoint=0")
