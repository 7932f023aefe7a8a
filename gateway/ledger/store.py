"""Where the ledger's rows live: one way to write, one way to read, over SQLite or PostgreSQL.

Both take a plain function of a SQLAlchemy ``Connection`` and run it in one transaction, so that everything
above is written once. ``write`` runs on the store's one writing connection, one call at a time; ``read``
never waits for it. What a failure says of the store is decided here, for both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("imagegate.ledger")

BUSY_SECONDS = 5.0
"""How long one statement may wait for a lock or for the server before the store counts as away."""

READERS = 4
"""Reading connections of one process."""


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
        return not state_of(error).startswith(_ROW_FAULTS)
    # asyncpg raises as it is what a server says before there is a connection (starting, full, wrong
    # password).
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_ROW_FAULTS)


def state_of(error: DBAPIError) -> str:
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
