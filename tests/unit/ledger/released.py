"""Ledgers as each released schema kept them: that revision's own tables, and rows in plain SQL for them.

``released/0004.sql`` is what a ledger of revision 0004 can hold besides what those before it hold; a file
with a database's name in it is for that one alone. They are never changed: what a release has written stays
written. A new revision gets a file of its own, and its hash in ``released/migrations.sha256``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

FOLDER = Path(__file__).with_name("released")
HASHES = FOLDER / "migrations.sha256"
PEPPER = b"of every released schema"
KEY = "sk-ig-000000000000000000000000000000000000000Used3RfG6p"
"""Of the key ``key_used``."""


def alembic() -> Config:
    settings = Config()
    settings.set_main_option("script_location", "gateway.ledger:migrations")
    settings.set_main_option("path_separator", "os")
    return settings


def scripts() -> dict[str, Path]:
    """The migrations by their revision, oldest first."""
    found = [
        (each.revision, Path(each.path)) for each in ScriptDirectory.from_config(alembic()).walk_revisions()
    ]
    return dict(sorted(found))


REVISIONS = tuple(scripts())


def written_in(revision: str) -> list[str]:
    """The revisions whose rows a ledger of this one holds."""
    return [each for each in REVISIONS if each <= revision]


def make(connection: Connection, revision: str) -> None:
    """A ledger of this revision in an empty database."""
    settings = alembic()
    settings.attributes["connection"] = connection
    command.upgrade(settings, revision)
    for each in written_in(revision):
        for name in (f"{each}.sql", f"{each}.{connection.dialect.name}.sql"):
            for statement in _statements(FOLDER / name):
                connection.exec_driver_sql(statement)


def _statements(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("--")]
    return [each for each in "\n".join(lines).split(";\n") if each.strip().rstrip(";")]


def rows(connection: Connection, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """In plain SQL, so that it is read alike before an upgrade and after."""
    names = ", ".join(columns)
    found = connection.execute(text(f"SELECT {names} FROM {table} ORDER BY {columns[0]}"))
    return [tuple(row) for row in found]


def hashes() -> dict[str, str]:
    """File name → SHA-256, as recorded at its release."""
    pairs = (line.split() for line in HASHES.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
