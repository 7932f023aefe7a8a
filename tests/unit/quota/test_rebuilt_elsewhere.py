"""Counters are built where the ledger's epoch says that they are, whoever else still answers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from config.counters import Host
from gateway.quota import connection
from gateway.quota.errors import Rebuilding
from gateway.quota.outcomes import Epoch
from gateway.quota.redis import RedisQuotaStore
from tests import servers
from tests.unit.quota.worlds import world


class Moving:
    """Leads to a server until it leads to another one."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def where(self) -> Host:
        return str(urlsplit(self.url).hostname), int(urlsplit(self.url).port or 0)

    def lost(self, host: Host) -> None:
        return None


async def in_force(url: str) -> bytes | str | None:
    link = Redis.from_url(url)
    try:
        return await link.hget("imagegate:{org}:epoch", "n")
    finally:
        await link.aclose()


async def test_a_rebuild_goes_over_no_connection_to_the_master_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That one was cut off and takes writes as ever; connections to it were checked against the epoch before,
    and are still there."""
    newest: Epoch | None = None

    async def epoch() -> Epoch | None:
        return newest

    async def build() -> None:
        nonlocal newest
        newest = Epoch(1 if newest is None else newest.number + 1, await store.identity())
        await store.freeze(newest)
        await store.rebuild(newest, [], [])

    with servers.redis() as old, servers.redis() as new:
        place = Moving(old)
        monkeypatch.setattr(connection, "_finder", lambda *_: place)
        store = RedisQuotaStore.connect(old, epoch, organization="org")
        try:
            await build()
            assert await in_force(old) == b"1"
            place.url = new
            await build()
            assert (await in_force(old), await in_force(new)) == (b"1", b"2")
            assert await store.standing([]) == []
        finally:
            await store.aclose()


async def test_what_is_lost_while_it_is_built_is_not_put_in_force() -> None:
    """A restart, behind a proxy that hides it: counters that are not there would be zero."""
    async with world("fakeredis") as made:
        assert made.link is not None
        epoch = Epoch(2)
        await made.store.freeze(epoch)
        await made.link.flushall()
        with pytest.raises(Rebuilding):
            await made.store.rebuild(epoch, [], [])
