"""From ``storage.database`` to the store that it names."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.ledger.postgres_store import PostgresStore, UrlNow
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.sqlite_store import SqliteStore
from gateway.ledger.store import Store


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
