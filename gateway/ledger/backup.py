"""A copy of a SQLite ledger as it stands at one moment, while others write to it.

It is read over a connection of its own in one transaction: writers go on, and only their checkpoints wait.
The copy is a single file, checked, synced, and there under its name whole or not at all. It gets another id
than its original (``identity.py``). A backup is put back in place in the same way.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

from gateway.errors import InvalidRequest
from gateway.ledger.identity import another
from gateway.ledger.store import BUSY_SECONDS
from gateway.ledger.tables import from_micros

PAGES = 4096
"""Copied between two looks at whether to go on: 16 MiB."""

_STEPS = 100_000
"""Of SQLite's virtual machine, likewise."""

_BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite would take for a database's own."""


class Stopped(Exception):
    """The copy was given up, and nothing is left of it."""


@dataclass(frozen=True, slots=True)
class Copied:
    """``schema`` is the revision; ``newest`` is when the newest call was received, None where there is none;
    ``keys`` are those that were made here and can still be used."""

    path: Path
    size: int
    schema: str
    newest: datetime | None
    keys: int


def copy(source: Path, target: Path, stop: Event) -> Copied:
    """Copy the ledger in ``source`` to ``target``, which must not exist. Blocking: call it in a thread.
    Raises :class:`InvalidRequest` with words for the operator, :class:`Stopped`."""
    _check_free(target)
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _copy_pages(source, part, stop)
            found = _finish(part, target, stop)
            _sync(part)
            os.link(part, target)  # never over something that has come to be there
        finally:
            for name in (part, *_beside(part)):
                name.unlink(missing_ok=True)
        _sync(target.parent)
    except FileExistsError:
        raise InvalidRequest(f"{target} exists; name a file that does not.", param="target") from None
    except OSError as error:
        raise InvalidRequest(f"{target} cannot be written: {error.strerror}.", param="target") from None
    except sqlite3.Error as error:
        if stop.is_set():
            raise Stopped from None
        raise InvalidRequest(f"{source} cannot be copied: {error}.", param="target") from None
    return found


def _check_free(target: Path) -> None:
    """What lies beside would be taken for a part of the copy."""
    if not target.parent.is_dir():
        raise InvalidRequest(
            f"There is no folder {target.parent}; make it, or name a file in another one.", param="target"
        )
    for name in (target, *_beside(target)):
        if name.exists() or name.is_symlink():
            raise InvalidRequest(f"{name} exists; move it away, or name another file.", param="target")


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in _BESIDE]


def _copy_pages(source: Path, part: Path, stop: Event) -> None:
    def go_on(status: int, remaining: int, total: int) -> None:
        if stop.is_set():
            raise Stopped

    with closing(_open(source, "ro")) as original, closing(_open(part, "rw")) as made:
        # One transaction over all steps: each would otherwise see what was written since, and begin anew.
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        made.execute("PRAGMA synchronous=OFF")  # it is synced once, at the end
        original.backup(made, pages=PAGES, progress=go_on)
        original.execute("ROLLBACK")


def _finish(part: Path, target: Path, stop: Event) -> Copied:
    """Make one file of it, give it its id, and look it through."""
    with closing(_open(part, "rw")) as made:
        made.set_progress_handler(stop.is_set, _STEPS)
        made.execute("PRAGMA journal_mode=DELETE")
        schema, ledger = _is_ledger(made, target)
        made.execute("UPDATE meta SET value = ? WHERE name = 'instance_id'", (another(ledger),))
        wrong = [str(row[0]) for row in made.execute("PRAGMA integrity_check(1)") if row[0] != "ok"]
        wrong += [f"a row of {row[0]} lacks its {row[2]}" for row in made.execute("PRAGMA foreign_key_check")]
        if wrong:
            raise InvalidRequest(f"The database is damaged, and was not copied: {wrong[0]}.", param="target")
        newest = made.execute("SELECT max(received_at) FROM requests").fetchone()[0]
        keys = made.execute("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL").fetchone()[0]
    size = part.stat().st_size
    return Copied(target, size, schema, None if newest is None else from_micros(newest), keys)


def _is_ledger(made: sqlite3.Connection, target: Path) -> tuple[str, str]:
    try:
        schema = made.execute("SELECT version_num FROM alembic_version").fetchone()
        ledger = made.execute("SELECT value FROM meta WHERE name = 'instance_id'").fetchone()
    except sqlite3.OperationalError:
        schema = ledger = None
    if not schema or not ledger:
        raise InvalidRequest("That is no ledger of imagegate.", param="target")
    return str(schema[0]), str(ledger[0])


def _open(path: Path, mode: str) -> sqlite3.Connection:
    link = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS
    )
    link.execute("PRAGMA wal_autocheckpoint=0")
    return link


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
