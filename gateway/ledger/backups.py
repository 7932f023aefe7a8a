"""Backups of a ledger that is open: begun once, and asked for until they are done.

They take as long as the database is large, and whoever asks (a command, over the control address) waits a
little at a time.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from threading import Event

import structlog

from gateway.errors import GatewayError, InvalidRequest, NotFound
from gateway.ledger.backup import Copied, Stopped, copy
from gateway.ledger.sqlite_store import SqliteStore
from gateway.ledger.store import Store

_log = structlog.get_logger("imagegate.ledger")

ELSEWHERE = (
    "This ledger is in PostgreSQL, whose own tools back it up: pg_dump, or a base backup with WAL archiving. "
    "docs/storage.md has the commands, and what else belongs to a backup."
)


class Backups:
    """``ledger.backups``."""

    def __init__(self, store: Store) -> None:
        self._path = store.path if isinstance(store, SqliteStore) else None
        self._stop = Event()
        self._running: dict[str, asyncio.Task[Copied]] = {}

    def begin(self, target: Path) -> str:
        """Returns the id to ask with. Raises :class:`InvalidRequest`."""
        if self._path is None:
            raise InvalidRequest(ELSEWHERE)
        if any(not task.done() for task in self._running.values()):
            raise InvalidRequest("A backup is being made already; wait for its end.")
        self._running.clear()  # nobody asks any more
        backup_id = f"backup_{secrets.token_hex(12)}"
        made = asyncio.to_thread(copy, self._path, target, self._stop)
        self._running[backup_id] = asyncio.create_task(made, name=backup_id)
        return backup_id

    async def wait(self, backup_id: str, seconds: float) -> Copied | None:
        """None: it is still being made. Raises :class:`InvalidRequest` where it could not be."""
        task = self._running.get(backup_id)
        if task is None:
            raise NotFound(f"There is no backup '{backup_id}'; start it again.")
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            return None
        try:
            made = task.result()
        except Stopped:
            raise InvalidRequest("The server ends, and the backup was given up.") from None
        except GatewayError as error:
            _log.error("backup_failed", reason=error.message)
            raise
        _log.info("backup_made", bytes=made.size, schema=made.schema)
        return made

    async def aclose(self) -> None:
        """Give up what is being made. Idempotent."""
        self._stop.set()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
