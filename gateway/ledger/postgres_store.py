"""The ledger in PostgreSQL, through asyncpg; ``run_sync`` carries the same functions as SQLite's threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.ledger.postgres_url import connecting
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.store import BUSY_SECONDS, READERS, is_away, state_of, unavailable

T = TypeVar("T")

UrlNow = Callable[[], str]
"""The database's URL as it is written now: passwords change under a process that runs. May raise ValueError,
LookupError and OSError."""

_DEADLOCK = "40P01"


class PostgresStore:
    """One writing connection and a few reading ones to a server that may be shared by several replicas."""

    dialect = "postgresql"

    def __init__(self, url: URL, now: UrlNow | None = None) -> None:
        self._writer = _engine(url, pool_size=1, max_overflow=0)
        self._readers = _engine(url, pool_size=READERS, max_overflow=0, isolation_level="REPEATABLE READ")
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
            if committing or not (error.connection_invalidated or state_of(error) == _DEADLOCK):
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


def _engine(url: URL, **options: Any) -> AsyncEngine:
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
