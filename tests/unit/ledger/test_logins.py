"""A database's user and password change under a process that runs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.ledger.opening import open_store


def who(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT session_user")))


async def test_new_connections_log_in_as_is_written_now(postgres_database: str, tmp_path: Path) -> None:
    owner = create_async_engine(postgres_database, isolation_level="AUTOCOMMIT")
    async with owner.connect() as link:
        for name in ("ledger_one", "ledger_two"):
            if not await link.scalar(text(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'")):
                await link.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'"))

    def url(name: str) -> str:
        return make_url(postgres_database).set(username=name, password=name).render_as_string(False)

    written = tmp_path / "url"
    written.write_text(url("ledger_one"))
    store = await open_store(written.read_text(), tmp_path, written.read_text)
    try:
        assert [await store.write(who), await store.read(who)] == ["ledger_one"] * 2
        written.write_text(url("ledger_two"))
        assert await store.write(who) == "ledger_one"  # a connection that is there stays
        async with owner.connect() as link:
            await link.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ledger_one'")
            )
        assert await store.read(who) == "ledger_two"
        written.unlink()  # somebody is in the middle of something: the last login may still do
        assert await store.read(who) == "ledger_two"
    finally:
        await store.close()
        await owner.dispose()
