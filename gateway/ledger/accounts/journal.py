"""Who did what to the accounts. Each entry is signed under ``server.secret`` together with the one before, so
that none can be changed, taken out or put in between without its being seen.

What is cut off at the end leaves no gap; the number of entries, told by every listing, is what shows that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, text

from gateway.ledger.accounts.tables import journal
from gateway.ledger.tables import to_micros

_ADVISORY_LOCK = 0x696D6167656A  # beside those of migrate.py, epochs.py and rollups.py


@dataclass(frozen=True, slots=True)
class JournalEntry:
    number: int
    at: datetime
    entered_by: str
    action: str
    body: Mapping[str, Any]


def signing_key(pepper: bytes) -> bytes:
    return hmac.digest(pepper, b"imagegate accounts journal", hashlib.sha256)


def lock(connection: Connection) -> None:
    """One writer of the accounts at a time, until the transaction ends: each entry signs the one before."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def enter(
    connection: Connection, key: bytes, at: datetime, entered_by: str, action: str, body: Mapping[str, Any]
) -> int:
    """Add an entry in the caller's transaction; returns its number."""
    lock(connection)
    last = connection.execute(select(journal).order_by(journal.c.number.desc()).limit(1)).first()
    row: dict[str, Any] = {
        "number": 1 if last is None else last.number + 1,
        "at": at,
        "entered_by": entered_by,
        "action": action,
        "body": json.dumps(dict(body), sort_keys=True, ensure_ascii=False, separators=(",", ":")),
    }
    row["mac"] = _mac(key, "" if last is None else last.mac, row)
    connection.execute(journal.insert(), row)
    return int(row["number"])


def entries(connection: Connection, key: bytes) -> tuple[Sequence[JournalEntry], int | None]:
    """All of them, oldest first, and the number of the first that is not as it was signed; None: all are."""
    found: list[JournalEntry] = []
    broken, before = None, ""
    for row in connection.execute(select(journal).order_by(journal.c.number)):
        expected = _mac(key, before, row._asdict())
        sound = row.number == len(found) + 1 and hmac.compare_digest(expected, row.mac)
        if not sound and broken is None:
            broken = row.number
        before = row.mac
        found.append(_entry(row))
    return found, broken


def _entry(row: Row[Any]) -> JournalEntry:
    return JournalEntry(row.number, row.at, row.entered_by, row.action, json.loads(row.body))


def _mac(key: bytes, before: str, row: Mapping[str, Any]) -> str:
    signed = [before, row["number"], to_micros(row["at"]), row["entered_by"], row["action"], row["body"]]
    return hmac.new(key, json.dumps(signed).encode(), hashlib.sha256).hexdigest()
