"""One way to write, over databases that have troubles of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text

from gateway.ledger.ledger import Ledger


async def test_a_transaction_that_ran_into_another_replicas_is_made_again(
    postgres_database: str, tmp_path: Path
) -> None:
    """Two replicas that take the same rows in another order: PostgreSQL breaks one of them off, and nobody is
    told that the ledger is away."""
    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(2)]

    def taking(*names: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            for name in names:
                took = text("UPDATE meta SET value = value || :name WHERE name = :name")
                connection.execute(took, {"name": name})
                connection.execute(text("SELECT pg_sleep(0.3)"))

        return work

    try:
        for name in ("a", "b"):
            await replicas[0].notes.put(name, "")
        await asyncio.gather(
            replicas[0]._store.write(taking("a", "b")), replicas[1]._store.write(taking("b", "a"))
        )
        assert [await replicas[0].notes.get(name) for name in ("a", "b")] == ["aa", "bb"]
    finally:
        for replica in replicas:
            await replica.close()
