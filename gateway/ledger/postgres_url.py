"""What stands behind ``?`` in PostgreSQL's address, in the words of the driver.

::

    sslmode, sslrootcert, sslcert, sslkey    as libpq has them
    host=NAME:PORT, several of them          tried in turn
    target_session_attrs                     which of them will do, such as read-write
    prepared_statement_cache_size=0          behind a PgBouncer that pools transactions

A pooler that gives each transaction another connection of the server's loses what was prepared on the one
before, unless it follows prepared statements itself (PgBouncer 1.21, ``max_prepared_statements``). Without it
nothing may be kept, and no two replicas may use the same names.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import URL

from config.storage import POSTGRES_OPTIONS
from gateway.ledger.refusals import LedgerRefused

_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
_CACHE = "prepared_statement_cache_size"


def connecting(url: URL) -> tuple[URL, dict[str, Any]]:
    """The address without what it does not know, and that as options of each connection. Raises
    :class:`LedgerRefused` for what nobody knows."""
    if not set(url.query) <= {*POSTGRES_OPTIONS}:
        raise LedgerRefused(f"storage.database: what follows ? can be {', '.join(POSTGRES_OPTIONS)}.")
    options: dict[str, Any] = {}
    libpq = {name: url.query[name] for name in _LIBPQ if name in url.query}
    if libpq:
        # Only an address of the driver's own is read as libpq reads one, files and all.
        options["dsn"] = f"postgresql://?{urlencode(libpq)}"
    if url.query.get(_CACHE) == "0":
        options["statement_cache_size"] = 0
        options["prepared_statement_name_func"] = _unique
    return url.difference_update_query(_LIBPQ), options


def _unique() -> str:
    return f"__imagegate_{uuid4().hex}__"
