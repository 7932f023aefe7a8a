"""What a ledger holds, in a few figures: for whoever has put one in place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from gateway.ledger.tables import OPEN, api_keys, attempts, requests


@dataclass(frozen=True, slots=True)
class Contents:
    """``newest`` is when the newest call was received, None where there is none. ``open`` calls have no known
    end; ``keys`` were made here and not revoked."""

    newest: datetime | None
    open: int
    keys: int


def contents(connection: Connection) -> Contents:
    usable = select(func.count()).select_from(api_keys).where(api_keys.c.revoked_at.is_(None))
    return Contents(
        newest=connection.scalar(select(func.max(requests.c.received_at))),
        open=connection.scalar(select(func.count()).select_from(attempts).where(OPEN)) or 0,
        keys=connection.scalar(usable) or 0,
    )
