"""Small facts that must outlive a process and be the same for all replicas, kept in ``meta`` by name."""

from __future__ import annotations

from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import Unavailable
from gateway.ledger.store import Store, is_away, unavailable
from gateway.ledger.tables import meta

MOST_UNHEARD = 1_000

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert(meta), "postgresql": postgresql.insert(meta)}


class Notes:
    """All methods may raise :class:`gateway.errors.Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unheard: dict[str, str] = {}
        """Marks that this process has asked for and not heard of, with what it wrote: they may be there."""

    async def get(self, name: str) -> str | None:
        query = select(meta.c.value).where(meta.c.name == name)
        return await self._store.read(lambda connection: connection.scalar(query))

    async def put(self, name: str, value: str) -> None:
        """Write or overwrite, durably."""

        def write(connection: Connection) -> None:
            insert = _INSERTS[connection.dialect.name].values(name=name, value=value)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

        await self._written(write)

    async def first(self, name: str) -> bool:
        """Add a mark; True for exactly one caller ever, over all replicas and restarts. A caller that was not
        told, as the store went away, may be it when it asks again."""
        mine = self._unheard.pop(name, None) or f"{datetime.now(UTC).isoformat()} {token_hex(8)}"

        def write(connection: Connection) -> bool:
            insert = _INSERTS[connection.dialect.name].values(name=name, value=mine)
            if connection.execute(insert.on_conflict_do_nothing(index_elements=["name"])).rowcount == 1:
                return True
            return connection.scalar(select(meta.c.value).where(meta.c.name == name)) == mine

        try:
            return bool(await self._written(write))
        except Unavailable:
            if len(self._unheard) < MOST_UNHEARD:
                self._unheard[name] = mine
            raise

    async def _written(self, write: Any) -> Any:
        try:
            return await self._store.write(write)
        except Exception as error:
            if is_away(error):
                raise unavailable(error) from None
            raise
