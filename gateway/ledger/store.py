"""Where the ledger's rows live: one way to write, one way to read, over SQLite or PostgreSQL.

Both take a plain function of a SQLAlchemy ``Connection`` and run it in one transaction, so that everything
above this file is written once. ``write`` runs on the store's one writing connection, one call at a time;
``read`` never waits for it.

* SQLite: the standard library's driver in threads of our own, one hop per transaction. One connection writes
  and does the checkpoints, others only read: SQLite before 3.51.3 can corrupt a WAL database that several
  connections write and checkpoint at once (https://www.sqlite.org/changes.html).
* PostgreSQL: asyncpg; ``run_sync`` carries the same functions.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool, StaticPool

from gateway.errors import Unavailable
from gateway.ledger.lock import HeldLock, take
from gateway.ledger.postgres_url import connecting
from gateway.ledger.refusals import InUse, LedgerRefused

T = TypeVar("T")

_log = structlog.get_logger("imagegate.ledger")

BUSY_SECONDS = 5.0
"""How long one statement may wait for a lock or for the server before the store counts as away."""

READERS = 4


class Store(Protocol):
    dialect: str

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` and commit; on return it is durable. Raises what ``work`` or the database raises."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on one consistent snapshot. Raises :class:`Unavailable` when the store is away."""
        ...

    async def close(self) -> None: ...


_ROW_FAULTS = ("22", "23", "42")
"""SQLSTATE classes that blame the values or the statement; all others blame the server or the way to it."""

_DEADLOCK = "40P01"


def is_away(error: BaseException) -> bool:
    """Whether this failure says something of the store and nothing of the rows: locked, full, unreachable."""
    if isinstance(error, OSError | TimeoutError | PoolTimeout):
        return True
    if isinstance(error, DBAPIError):
        if isinstance(error.orig, sqlite3.OperationalError):
            code = getattr(error.orig, "sqlite_errorcode", None)
            return bool(code != sqlite3.SQLITE_ERROR)  # that one blames the statement
        if error.connection_invalidated or isinstance(error, OperationalError):
            return True
        if isinstance(error, IntegrityError | DataError | ProgrammingError | NotSupportedError):
            return False
        driver = error.orig
        if driver is not None and isinstance(
            driver.__cause__, ValueError
        ):  # asyncpg: a value it cannot encode
            return False
        return not _state(error).startswith(_ROW_FAULTS)
    # asyncpg raises as it is what a server says before there is a connection (starting, full, wrong
    # password).
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_ROW_FAULTS)


def _state(error: DBAPIError) -> str:
    """The SQLSTATE; empty where the server has not said one."""
    return str(getattr(error.orig, "sqlstate", None) or "")


class Unasked(Unavailable):
    """The store is known to be away and was not asked: nothing was written, for certain."""


def unavailable(error: BaseException, kind: type[Unavailable] = Unavailable) -> Unavailable:
    """What a caller is told. The database's own words go to the log: they can name paths and hosts."""
    _log.error(
        "ledger_unavailable", reason=str(getattr(error, "orig", None) or error) or type(error).__name__
    )
    answer = kind(
        "The gateway cannot reach its ledger, so the request was not sent to any provider and nothing was "
        "charged. Retry in a few seconds; if it persists, the operator should check the database and its "
        "disk space.",
        code="ledger_unavailable",
        retry_after=5,
    )
    answer.__cause__ = error
    return answer


async def write(store: Store, work: Callable[[Connection], T]) -> T:
    """``store.write`` for rows that nobody else waits with. Raises :class:`Unavailable` when the store is
    away."""
    try:
        return await store.write(work)
    except Exception as error:
        if is_away(error):
            raise unavailable(error) from error
        raise


UrlNow = Callable[[], str]
"""The database's URL as it is written now: passwords change under a process that runs. May raise ValueError,
LookupError and OSError."""


async def open_store(url: str, base: Path, now: UrlNow | None = None) -> Store:
    """``sqlite:///PATH`` (relative to ``base``) or ``postgresql+asyncpg://…``. User and password of each new
    connection are those of ``now``. Raises :class:`LedgerRefused`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerRefused("storage.database is not a URL such as sqlite:///data/imagegate.db") from None
    if parsed.get_backend_name() == "sqlite":
        return await SqliteStore.open(_sqlite_path(parsed, base))
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        return PostgresStore(parsed.set(drivername="postgresql+asyncpg"), now)
    raise LedgerRefused(
        f"storage.database names {parsed.get_backend_name()!r}; it can be sqlite:///PATH or postgresql+asyncpg://…"
    )


def sqlite_file(url: str, base: Path) -> Path | None:
    """The file of an SQLite ledger; None: it is in PostgreSQL. Raises :class:`LedgerRefused`."""
    return _sqlite_path(make_url(url), base) if url.startswith("sqlite") else None


def _sqlite_path(url: URL, base: Path) -> Path:
    if not url.database or url.database == ":memory:":
        raise LedgerRefused("storage.database: a ledger in memory would be lost at the end; name a file")
    return base / url.database


class SqliteStore:
    """One file, one process (held by a lock beside the file), one writing thread, a few reading ones."""

    dialect = "sqlite"

    def __init__(self, path: Path, lock: HeldLock) -> None:
        self.path = path
        self._lock = lock
        self._closed = False
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        self._reader_threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._writer = _sqlite_engine(path, _prepare_writer, "BEGIN IMMEDIATE", poolclass=StaticPool)
        self._writing: Connection | None = None
        """Kept open: taking it out and giving it back costs as much as a transaction of one row."""
        self._readers = _sqlite_engine(
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


def _sqlite_engine(
    path: Path, prepare: Callable[[sqlite3.Connection], None], begin: str, **options: Any
) -> Engine:
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


class PostgresStore:
    """One writing connection and a few reading ones to a server that may be shared by several replicas."""

    dialect = "postgresql"

    def __init__(self, url: URL, now: UrlNow | None = None) -> None:
        self._writer = _postgres_engine(url, pool_size=1, max_overflow=0)
        self._readers = _postgres_engine(
            url, pool_size=READERS, max_overflow=0, isolation_level="REPEATABLE READ"
        )
        if now is not None:
            for engine in (self._writer, self._readers):
                event.listen(engine.sync_engine, "do_connect", partial(_log_in, now))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """After a restart of the server the connection is dead, and the first to find out does its work once
        more: what was lost before its COMMIT was sent has left nothing. What was lost with it may have been
        done, so that is raised. Work that the server broke off for another replica's, as both waited for each
        other, is done once more likewise."""
        committing = False
        try:
            async with self._writer.begin() as connection:
                done = await connection.run_sync(work)
                committing = True
            return done
        except DBAPIError as error:
            if committing or not (error.connection_invalidated or _state(error) == _DEADLOCK):
                raise
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            try:
                return await self._read(work)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server was restarted under the pool, which is now rid of its dead connections.
            return await self._read(work)
        except Exception as error:
            if is_away(error):
                raise unavailable(error) from error
            raise

    async def _read(self, work: Callable[[Connection], T]) -> T:
        async with self._readers.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        await self._readers.dispose()
        await self._writer.dispose()


def _log_in(now: UrlNow, dialect: object, record: object, args: object, options: dict[str, Any]) -> None:
    """With the user and the password of now. Where they cannot be had, those of before may still do."""
    try:
        url = make_url(now())
    except (ArgumentError, ValueError, LookupError, OSError):
        return
    login = {"user": url.username, "password": url.password}
    options.update({name: value for name, value in login.items() if value is not None})


def _postgres_engine(url: URL, **options: Any) -> AsyncEngine:
    url, named = connecting(url)
    try:
        return create_async_engine(
            url,
            pool_pre_ping=False,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS, "command_timeout": BUSY_SECONDS, **named},
            **options,
        )
    except ModuleNotFoundError:
        raise LedgerRefused(
            "PostgreSQL needs the package's postgres extra: install 'imagegate[postgres]'."
        ) from None
