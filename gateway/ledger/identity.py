"""The id of a ledger: made with its database, and what its counters in a shared store are named after.

A copy of a database has its original's id, and both would count in the same counters. So a copy gets
another: when it is made (``backup.py``), when it is put in place (``imagegate restore``), when it is opened
and lies in another database than before (:func:`settle`), or when the store shows that somebody else counts
there (``epochs.py``).
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from gateway.ledger.tables import meta

_NAME, _HOME = "instance_id", "home"

_DATABASE = text(
    "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid::text "
    "FROM pg_database WHERE datname = current_database()"
)
"""Clusters keep their number through restarts, failovers and physical copies, and databases theirs."""


def of(connection: Connection) -> str:
    return str(connection.scalar(select(meta.c.value).where(meta.c.name == _NAME)))


def give(connection: Connection) -> bool:
    """Give one to a database that has none; False where it has."""
    if connection.scalar(select(meta.c.name).where(meta.c.name == _NAME)) is not None:
        return False
    connection.execute(meta.insert(), {"name": _NAME, "value": secrets.token_hex(16)})
    return True


def another(ledger: str) -> str:
    """The same beginning and a new end, as ``gateway.quota.in_epoch.tag_of`` wants it."""
    return f"{ledger.partition('.')[0]}.{secrets.token_hex(6)}"


def renew(connection: Connection) -> str:
    """Give the ledger another one, in the caller's transaction. Counters under the old name are left to
    whoever counts there, and those under the new one are built from the ledger."""
    made = another(of(connection))
    connection.execute(update(meta).where(meta.c.name == _NAME).values(value=made))
    return made


def settle(connection: Connection) -> bool:
    """Renew the id of a ledger that was dumped and restored into another PostgreSQL database; False where it
    lies where it lay, or where that cannot be told: a physical copy is as its original."""
    here = _home(connection)
    was = connection.scalar(select(meta.c.value).where(meta.c.name == _HOME))
    if here is None or here == was:
        return False
    connection.execute(delete(meta).where(meta.c.name == _HOME))
    connection.execute(meta.insert(), {"name": _HOME, "value": here})
    if was is None:
        return False
    renew(connection)
    return True


def _home(connection: Connection) -> str | None:
    if connection.dialect.name != "postgresql":
        return None
    try:
        with connection.begin_nested():
            return str(connection.scalar(_DATABASE))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None  # a server that does not say
