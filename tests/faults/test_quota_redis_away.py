"""A Redis that is slow, silent, gone, emptied or another one than before: an answer within a second."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter, sleep

import pytest

from gateway.quota import connection, scripts
from gateway.quota.clock import wall_clock
from gateway.quota.errors import QuotaUnavailable, Rebuilding, StoreAway, UnsafeStore
from gateway.quota.holds import Hold, State
from gateway.quota.outcomes import Admitted, Epoch, OpenHold, Reservation
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.store import KEEP_MS
from gateway.quota.terms import Limit, Measure, Scope
from tests import servers

LIMIT = Limit(Scope.key("p1", "k1"), Measure.SPEND, 1000, "month")
SECOND = 3.0
"""As this machine counts, which may be a slow one."""


def wish(rid: str, spend: int = 100) -> Reservation:
    return Reservation(rid, {Measure.SPEND: spend}, [LIMIT])


async def take(store: RedisQuotaStore, rid: str) -> Hold:
    outcome = await store.reserve([wish(rid)])
    assert isinstance(outcome, Admitted)
    return outcome.holds[0]


async def seconds_until_refused(store: RedisQuotaStore, calls: int = 1) -> float:
    begun = perf_counter()
    answers = await asyncio.gather(
        *(store.reserve([wish(f"x{n}/1")]) for n in range(calls)), return_exceptions=True
    )
    assert all(isinstance(answer, StoreAway) for answer in answers), answers[:3]
    return perf_counter() - begun


class Server:
    """One Redis of a test, which can be stopped, continued, killed and started again on its port."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = servers.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._argv = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._argv += ["--save", "", "--appendonly", "no"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                if link.recv(16).startswith(b"+PONG"):
                    return
            assert self.process.poll() is None
            sleep(0.01)
        raise AssertionError("the server did not start")

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(5)


@pytest.fixture
def server(redis_server: str, tmp_path: Path) -> Iterator[Server]:
    """A Redis of this test alone; ``redis_server`` has found that there is a binary."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or str(servers.REDIS_FROM_PACKAGE)
    made = Server(binary, tmp_path)
    made.start()
    yield made
    made.stop()


@asynccontextmanager
async def opened(url: str, epoch: Epoch | None, *, build: bool = True) -> AsyncIterator[RedisQuotaStore]:
    async def source() -> Epoch | None:
        return epoch

    store = RedisQuotaStore.connect(url, source)
    try:
        if build and epoch is not None:
            await store.freeze(epoch)
            await store.rebuild(epoch, [], [])
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize("calls", [1, 200])
async def test_f15_a_black_holed_redis_is_answered_within_a_second(calls: int) -> None:
    """It accepts and never says a word."""
    silent: list[asyncio.StreamWriter] = []
    hole = await asyncio.start_server(lambda _, writer: silent.append(writer), "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    try:
        async with opened(f"redis://127.0.0.1:{port}/0", Epoch(1), build=False) as store:
            assert await seconds_until_refused(store, calls) < SECOND
            assert await seconds_until_refused(store, calls) < SECOND
    finally:
        hole.close()
        for writer in silent:
            writer.close()


async def test_f15_a_refused_connection_is_answered_within_a_second() -> None:
    url = f"redis://127.0.0.1:{servers.free_port()}/0"
    async with opened(url, Epoch(1), build=False) as store:
        assert await seconds_until_refused(store) < SECOND


async def test_f15_a_stopped_redis_is_answered_within_a_second_and_loses_nothing(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        hold = await take(store, "a/1")
        await store.dispatch(hold)
        server.signal(signal.SIGSTOP)
        try:
            assert await seconds_until_refused(store) < SECOND
            begun = perf_counter()
            with pytest.raises(StoreAway):
                await store.settle(hold, {Measure.SPEND: 70})
            assert perf_counter() - begun < SECOND
        finally:
            server.signal(signal.SIGCONT)
        await asyncio.sleep(0.2)
        # The repetitions that the stopped server had in its socket ran as well: once each, by their ids.
        await store.settle(hold, {Measure.SPEND: 70})
        (standing,) = await store.standing([LIMIT])
        assert standing.settled == 70
        assert standing.held in (0, 100)


@pytest.fixture
def repeats_late(monkeypatch: pytest.MonkeyPatch) -> float:
    """A second of patience for each try. Seconds after which the client is repeating."""
    monkeypatch.setattr(connection, "SOCKET_SECONDS", 1.0)
    monkeypatch.setattr(scripts, "DEADLINE_SECONDS", 5.0)
    return 1.3


async def test_f20_a_reserve_whose_answer_was_lost_holds_once(server: Server, repeats_late: float) -> None:
    async with opened(server.url, Epoch(1)) as store:
        await take(store, "warm/1")
        server.signal(signal.SIGSTOP)
        call = asyncio.create_task(store.reserve([wish("a/1")]))
        await asyncio.sleep(repeats_late)
        server.signal(signal.SIGCONT)
        outcome = await call
        assert isinstance(outcome, Admitted)
        (standing,) = await store.standing([LIMIT])
        assert standing.held == 200


async def test_a_dispatch_whose_answer_was_lost_is_granted_to_its_own_repetition(
    server: Server, repeats_late: float
) -> None:
    async with opened(server.url, Epoch(1)) as store:
        hold = await take(store, "a/1")
        server.signal(signal.SIGSTOP)
        call = asyncio.create_task(store.dispatch(hold))
        await asyncio.sleep(repeats_late)
        server.signal(signal.SIGCONT)
        assert (await call).hold == hold


async def test_scripts_that_the_server_forgot_are_loaded_again(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        await take(store, "a/1")
        link = connection.connect(server.url)
        await link.script_flush()
        await link.aclose()
        outcomes = await asyncio.gather(*(store.reserve([wish(f"b{n}/1", 10)]) for n in range(20)))
        assert all(isinstance(outcome, Admitted) for outcome in outcomes)


async def test_f19_a_flushed_redis_refuses_until_it_is_rebuilt(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        hold = await take(store, "a/1")
        await store.dispatch(hold)
        link = connection.connect(server.url)
        await link.flushall()
        await link.aclose()
        with pytest.raises(Rebuilding):
            await store.reserve([wish("b/1")])
        await store.freeze(Epoch(2))
        await store.rebuild(Epoch(2), [], [OpenHold(hold, State.DISPATCHED)])
        (standing,) = await store.standing([LIMIT])
        assert standing.held == 100


async def test_a_server_that_was_never_reached_is_away_and_rebuilds_nothing(server: Server) -> None:
    """Nothing was ever built, and the ledger knows of no epoch."""

    async def source() -> None:
        return None

    store = RedisQuotaStore.connect(server.url, source)
    try:
        with pytest.raises(Rebuilding):
            await store.reserve([wish("a/1")])
        server.stop()
        assert await seconds_until_refused(store) < SECOND
        server.start()
        with pytest.raises(Rebuilding):
            await store.reserve([wish("b/1")])
    finally:
        await store.aclose()


async def test_f19_another_server_behind_the_same_address_is_cold(server: Server) -> None:
    """A failover keeps the epoch's key and may lack holds: the ``run_id`` gives it away."""
    first = await connection.identity(server.url)
    known = Epoch(1, first)

    async def source() -> Epoch:
        return known

    store = RedisQuotaStore.connect(server.url, source)
    try:
        await store.freeze(known)
        await store.rebuild(known, [], [])
        hold = await take(store, "a/1")
        link = connection.connect(server.url)
        copy = {key: await link.dump(key) for key in await link.keys("*") if b":r:" not in key}
        await link.aclose()
        server.stop()
        with pytest.raises(QuotaUnavailable):
            await store.reserve([wish("b/1")])
        server.start()
        link = connection.connect(server.url)
        for key, value in copy.items():
            await link.restore(key, 0, value)
        await link.aclose()
        with pytest.raises(Rebuilding):
            await store.reserve([wish("b/1")])
        with pytest.raises(Rebuilding):
            await store.dispatch(hold)
        known = Epoch(2, await store.identity())
        assert known.run_id != first
        await store.freeze(known)
        await store.freeze(known)
        await store.rebuild(known, [], [])
        await take(store, "b/1")
    finally:
        await store.aclose()


async def test_a_replica_learns_from_the_ledger_that_another_one_has_rebuilt(server: Server) -> None:
    known = Epoch(1)

    async def source() -> Epoch:
        return known

    stores = [RedisQuotaStore.connect(server.url, source) for _ in range(2)]
    try:
        await stores[0].freeze(known)
        await stores[0].rebuild(known, [], [])
        await take(stores[1], "a/1")
        known = Epoch(2)
        await stores[0].freeze(known)
        await asyncio.sleep(0.15)
        with pytest.raises(Rebuilding):
            await stores[1].reserve([wish("b/1")])
        await stores[0].freeze(known)
        await stores[0].rebuild(known, [], [])
        await asyncio.sleep(0.15)
        hold = await take(stores[1], "b/1")
        assert hold.epoch == 2
        link = connection.connect(server.url)
        assert await link.keys("imagegate:{default}:1:*") == []
        await link.aclose()
    finally:
        for store in stores:
            await store.aclose()


async def test_an_older_build_cannot_replace_a_newer_one(server: Server) -> None:
    async with opened(server.url, Epoch(2)) as store:
        await take(store, "a/1")
        with pytest.raises(Rebuilding):
            await store.freeze(Epoch(1))
            await store.rebuild(Epoch(1), [], [])


async def test_only_one_replica_at_a_time_may_rebuild(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        assert [await store.claim(), await store.claim()] == [True, False]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_evict_counters_is_refused_at_start(server: Server, policy: str) -> None:
    async with opened(server.url, Epoch(1)) as store:
        await store.start()
        link = connection.connect(server.url)
        await link.config_set("maxmemory-policy", policy)
        await link.aclose()
        with pytest.raises(UnsafeStore, match=policy):
            await store.start()


async def test_every_key_of_a_window_ends_with_it(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        await take(store, "a/1")
        link = connection.connect(server.url)
        keys = [key async for key in link.scan_iter(match="*:w:*")]
        assert len(keys) == 1
        left = await link.pttl(keys[0])
        await link.aclose()
        assert 28 * 86_400_000 < left < 62 * 86_400_000


async def test_what_has_ended_is_remembered_in_few_words_and_for_a_while(server: Server) -> None:
    async with opened(server.url, Epoch(1)) as store:
        before = wall_clock()
        hold = await take(store, "a/1")
        assert before <= hold.admitted <= wall_clock()
        await store.release(hold)
        link = connection.connect(server.url)
        name = "imagegate:{default}:1:r:a/1"
        assert await link.hgetall(name) == {b"st": b"released"}
        assert KEEP_MS - 5000 < await link.pttl(name) <= KEEP_MS
        await link.aclose()
