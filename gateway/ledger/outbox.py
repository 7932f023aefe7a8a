"""Messages that wait to be delivered: written in one transaction with what they tell of, taken by whichever
replica comes first, tried again until somebody takes them or a day has passed.

A message that is being tried is not due until its lease ends; a replica that dies in the middle leaves it to
the others. So each is delivered at least once, and its id lets the receiver drop repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from gateway.ledger.kept_tables import outbox
from gateway.ledger.store import Store, write


@dataclass(frozen=True, slots=True)
class Message:
    """``body`` is the JSON that is signed and sent. ``tries`` were made before."""

    message_id: str
    project_id: str
    request_id: str
    body: str
    created_at: datetime
    next_try_at: datetime
    tries: int = 0


class Outbox:
    """All methods may raise :class:`gateway.errors.Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, now: datetime, until: datetime, most: int) -> Sequence[Message]:
        """Up to ``most`` messages that are due; nobody else gets them before ``until``."""
        due = select(outbox).where(outbox.c.next_try_at <= now).order_by(outbox.c.next_try_at).limit(most)

        def step(connection: Connection) -> Sequence[Message]:
            taken = []
            for row in connection.execute(due).mappings().all():
                mine = outbox.c.message_id == row["message_id"], outbox.c.next_try_at == row["next_try_at"]
                lease = update(outbox).where(*mine).values(next_try_at=until, tries=outbox.c.tries + 1)
                if connection.execute(lease).rowcount == 1:
                    taken.append(Message(**row))
            return taken

        return await write(self._store, step)

    async def again(self, message_id: str, at: datetime) -> None:
        """Nobody took it: try again then."""
        later = update(outbox).where(outbox.c.message_id == message_id).values(next_try_at=at)
        await write(self._store, lambda connection: connection.execute(later))

    async def done(self, message_id: str) -> None:
        """Taken, or given up."""
        gone = delete(outbox).where(outbox.c.message_id == message_id)
        await write(self._store, lambda connection: connection.execute(gone))


def row_of(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__dataclass_fields__}
