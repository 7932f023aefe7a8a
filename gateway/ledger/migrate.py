"""Brings a database to this version's schema, once, under a lock, before the first request.

Alembic is loaded only where there is something to do: a start on a current database costs one SELECT.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, inspect, text

from gateway.ledger import identity
from gateway.ledger.refusals import SchemaTooNew
from gateway.ledger.tables import meta

HEAD = "0006"
"""The newest revision in ``migrations/versions``."""

_ADVISORY_LOCK = 0x696D61676567  # "imageg"; any fixed number that nothing else in the database uses


def migrate(connection: Connection) -> str | None:
    """Upgrade within the connection's transaction, which the caller has begun and commits. Returns the
    revision that was found, None for an empty database.

    On SQLite the transaction is ``BEGIN IMMEDIATE``, which lets one process in; on PostgreSQL an advisory
    lock does, so that replicas that start together migrate once. Raises :class:`SchemaTooNew`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = _revision(connection)
    if found == HEAD:
        return found
    _upgrade(connection, found)
    if identity.give(connection):
        made = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute(meta.insert(), {"name": "created_at", "value": made})
    return found


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    settings.set_main_option("script_location", "gateway.ledger:migrations")
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f"The database was written by a newer imagegate (its schema is {found}, this version knows up to "
            f"{HEAD}). Start that version or a later one, or restore a backup from before the upgrade."
        )
    command.upgrade(settings, "head")
