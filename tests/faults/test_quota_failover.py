"""A master that dies, one that comes back, a slot that moves: the counters are built anew where they are
then, and nothing is admitted before.

The replica is cut off before the last holds are taken, so that it is promoted without them: replication does
not wait, and what was acknowledged is lost. Only a rebuild knows of it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from gateway.quota import connection
from gateway.quota.away import GuardedStore
from gateway.quota.errors import QuotaUnavailable, Rebuilding, StoreAway, UnsafeStore
from gateway.quota.holds import Hold, State
from gateway.quota.keeper import NO_CREDITS, Account, Keeper
from gateway.quota.outcomes import Admitted, Credits, Epoch, OpenHold, Refused, Reservation, Verdict
from gateway.quota.plan import line
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar
from gateway.routing.names import TargetName
from gateway.routing.shared import OPEN, Note
from gateway.routing.shared_redis import RedisHealth
from tests import redis_groups
from tests.conftest import obtain
from tests.redis_groups import PASSWORD, Clustered, Group, Watched
from tests.soak.stores import Redis

pytestmark = [pytest.mark.xdist_group("redis groups"), pytest.mark.slow]

LIMIT = Limit(Scope.key("p1", "k1"), Measure.SPEND, 1000, "total")
HELD, COST = 100, 70
TAG = "default"
PATIENCE = 60.0
"""Seconds for what takes a few of them on a machine that has nothing else to do."""


@dataclass
class Ledger:
    """Rows of older epochs are refused, as by the real one. What was settled or runs is never above the
    limit."""

    newest: Epoch | None = None
    rows: dict[str, tuple[Hold, State, int]] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        return sum(amount for _, state, amount in self.rows.values() if state is not State.RELEASED)

    def intend(self, hold: Hold) -> bool:
        if self.newest is None or hold.epoch < self.newest.number:
            return False
        self.rows[hold.rid] = (hold, State.DISPATCHED, HELD)
        assert self.spent <= LIMIT.amount
        return True

    def settle(self, hold: Hold) -> None:
        self.rows[hold.rid] = (hold, State.SETTLED, COST)

    async def epoch(self) -> Epoch | None:
        return self.newest

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
        self.newest = Epoch(self.newest.number + 1 if self.newest else 1, run_id)
        return self.newest

    async def lapse(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        raise AssertionError("no lease of these tests ends")

    async def account(self, rids: Sequence[str], before: int | None) -> Account:
        rows = list(self.rows.values())
        settled = sum(amount for _, state, amount in rows if state is State.SETTLED)
        sums = [line(LIMIT, settled, Calendar(), datetime.now(UTC))] if settled else []
        running = [OpenHold(hold, state) for hold, state, _ in rows if state is State.DISPATCHED]
        return Account({}, sums, running)

    async def credits(self) -> Credits:
        return NO_CREDITS


@dataclass
class Replica:
    """One gateway's store and keeper; its steps are taken by the test, so that each can be looked at."""

    store: RedisQuotaStore
    keeper: Keeper
    ledger: Ledger

    async def reserve(self, rid: str) -> Admitted | Refused:
        """What is refused for want of the store is refused within a second, and some for the machine."""
        begun = monotonic()
        try:
            return await self.store.reserve([Reservation(rid, {Measure.SPEND: HELD}, [LIMIT])])
        finally:
            assert monotonic() - begun < 3.0

    async def begin(self, rid: str) -> Hold:
        outcome = await self.reserve(rid)
        assert isinstance(outcome, Admitted)
        (hold,) = outcome.holds
        assert self.ledger.intend(hold)
        await self.store.dispatch(hold)
        return hold

    async def standing(self) -> tuple[int, int, int]:
        (found,) = await self.store.standing([LIMIT])
        return found.settled, found.held, found.unknown


@asynccontextmanager
async def replicas(url: str, count: int = 2) -> AsyncIterator[tuple[Ledger, Sequence[Replica]]]:
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            store = RedisQuotaStore.connect(url, ledger.epoch)
            stack.push_async_callback(store.aclose)
            made.append(Replica(store, Keeper(GuardedStore(store), ledger, lambda _: None), ledger))
        await until(made[0].keeper.warm, lambda: ledger.newest is not None)
        yield ledger, made


async def until(step: Callable[[], Any], holds: Callable[[], bool]) -> None:
    """Take a step again and again, as the keeper does, until this holds."""
    begun = monotonic()
    while not holds():
        assert monotonic() - begun < PATIENCE
        try:
            await step()
        except QuotaUnavailable:
            await asyncio.sleep(0.1)


async def until_rebuilding(replica: Replica) -> None:
    """Until the store has found the server that is there now, and admits nothing."""
    begun = monotonic()
    while True:
        assert monotonic() - begun < PATIENCE
        with pytest.raises(QuotaUnavailable) as refusal:
            await replica.reserve("early/1")
        if isinstance(refusal.value, Rebuilding):
            return
        await asyncio.sleep(0.05)


async def rebuilt(ledger: Ledger, made: Sequence[Replica]) -> None:
    """All replicas find it cold, one builds, and both go on."""
    before = ledger.newest
    assert before is not None
    await until(
        lambda: asyncio.gather(*(each.keeper.warm() for each in made)), lambda: ledger.newest is not before
    )
    assert ledger.newest is not None
    assert ledger.newest.run_id not in (None, before.run_id)
    for each in made:
        await until(each.standing, _once())


def _once() -> Callable[[], bool]:
    """False, then true: one step that did not fail."""
    answers = iter((False,))
    return lambda: next(answers, True)


@pytest.fixture(params=["sentinel", "cluster"])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with ExitStack() as stack:
        yield obtain(getattr(redis_groups, request.param), stack)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield obtain(redis_groups.sentinel, stack)


@pytest.fixture
def clustered() -> Iterator[Clustered]:
    with ExitStack() as stack:
        yield obtain(redis_groups.cluster, stack)


@asynccontextmanager
async def telling(url: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """What one replica says of a target; returns when another one has heard it."""
    async with AsyncExitStack() as stack:
        healths = []
        for _ in range(2):
            link = connection.connect(url, TAG)
            stack.push_async_callback(link.aclose)
            healths.append(await stack.enter_async_context(RedisHealth(link, TAG)))

        async def heard(name: str) -> None:
            healths[0].publish(Note(TargetName(name), OPEN, 60.0))
            begun = monotonic()
            while name not in {note.target for note in healths[1].heard() or ()}:
                assert monotonic() - begun < PATIENCE
                await asyncio.sleep(0.05)

        yield heard


def records(group: Group, port: int) -> int:
    """How many attempts the server of this port has."""
    return len(group.ask(port, "KEYS", "imagegate:{default}:1:r:*"))


async def test_f19_after_a_failover_nothing_is_admitted_before_lost_holds_are_back(group: Group) -> None:
    async with replicas(group.url) as (ledger, made), telling(group.url) as heard:
        await heard("a/before")
        holds = [await made[n % 2].begin(f"kept{n}/1") for n in range(5)]
        settled = holds.pop()
        ledger.settle(settled)
        await made[0].store.settle(settled, {Measure.SPEND: COST})
        master = group.master(TAG)
        standby = group.standby(master)
        await asyncio.to_thread(group.until, "a copy", lambda: records(group, standby) == 5)
        group.signal(standby, signal.SIGSTOP)
        group.ask(master, "CLIENT", "KILL", "TYPE", "replica")
        holds += [await made[n % 2].begin(f"lost{n}/1") for n in range(4)]
        group.kill(master)
        group.signal(standby, signal.SIGCONT)

        for each in made:
            await until_rebuilding(each)
        assert group.master(TAG) == standby
        assert records(group, standby) == 5
        await rebuilt(ledger, made)
        assert await made[1].standing() == (COST, 800, 0)
        holds.append(await made[1].begin("new/1"))
        assert isinstance(await made[0].reserve("one too many/1"), Refused)
        for hold in holds:
            ledger.settle(hold)
            await made[0].store.settle(hold, {Measure.SPEND: COST})
        assert await made[1].standing() == (10 * COST, 0, 0)
        assert ledger.spent == 10 * COST
        await heard("a/after")


async def test_f19_a_master_that_wakes_up_too_late_admits_nothing_that_the_ledger_takes(
    watched: Watched,
) -> None:
    """It believes in itself until the sentinels tell it, and the idle replica's connections lead to it."""
    async with replicas(watched.url) as (ledger, (busy, idle)):
        for n in range(4):
            await idle.begin(f"before{n}/1")
        master = watched.master()
        watched.signal(master, signal.SIGSTOP)
        try:
            await until_rebuilding(busy)
            await rebuilt(ledger, [busy])
            for n in range(4):
                await busy.begin(f"after{n}/1")
        finally:
            watched.signal(master, signal.SIGCONT)
        begun, taken = monotonic(), 0
        while taken < 2:
            assert monotonic() - begun < PATIENCE
            try:
                outcome = await idle.reserve(f"idle{monotonic()}/1")
            except QuotaUnavailable:
                await asyncio.sleep(0.05)
                continue
            if isinstance(outcome, Admitted):
                taken += ledger.intend(outcome.holds[0])
        assert isinstance(await busy.reserve("one too many/1"), Refused)
        assert ledger.spent == LIMIT.amount


async def test_f19_a_slot_that_moves_to_another_member_takes_the_counters_along(clustered: Clustered) -> None:
    slot = key_slot(f"{{{TAG}}}".encode())
    async with replicas(clustered.url) as (ledger, made):
        holds = [await made[n % 2].begin(f"a{n}/1") for n in range(9)]
        source = clustered.master(TAG)
        target = next(port for port in clustered.masters if port != source)
        names = {port: clustered.text(port, "CLUSTER", "MYID") for port in (source, target)}
        clustered.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        clustered.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        for each in made:
            with pytest.raises(StoreAway) as refusal:
                await each.reserve("meanwhile/1")
            assert "127.0.0.1" not in refusal.value.reason
        while keys := clustered.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            login = ("AUTH", PASSWORD)
            clustered.ask(source, "MIGRATE", "127.0.0.1", target, "", 0, 5000, *login, "KEYS", *keys)
            with pytest.raises(QuotaUnavailable):
                await made[0].reserve("meanwhile/1")
        for port in (target, source):
            clustered.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", names[target])
        for each in made:
            await until_rebuilding(each)
        await rebuilt(ledger, made)
        assert clustered.master(TAG) == target
        assert await made[1].standing() == (0, 900, 0)
        holds.append(await made[0].begin("new/1"))
        assert isinstance(await made[1].reserve("one too many/1"), Refused)


async def test_a_server_that_is_promoted_and_may_evict_counters_is_refused_too(redis: Redis) -> None:
    assert await connection.identity(redis.url) is not None
    link = connection.connect(redis.url)
    await link.config_set("maxmemory-policy", "volatile-lru")
    await link.aclose()
    with pytest.raises(UnsafeStore, match="volatile-lru"):
        await connection.identity(redis.url)


async def test_a_password_may_change_under_a_store_that_counts(tmp_path: Path) -> None:
    group, ledger = Group(tmp_path), Ledger()
    port = redis_groups.free_port()
    written = [f"redis://:{quote(word, safe='')}@127.0.0.1:{port}" for word in (PASSWORD, "another")]
    try:
        group.serve(port)
        await asyncio.to_thread(group.until_served, [port])
        store = RedisQuotaStore.connect(written[0], ledger.epoch, now=lambda: written[0])
        made = Replica(store, Keeper(GuardedStore(store), ledger, lambda _: None), ledger)
        await until(made.keeper.warm, lambda: ledger.newest is not None)
        await made.begin("before/1")
        group.ask(port, "CONFIG", "SET", "requirepass", "another")
        with suppress(RedisError):
            group.ask(port, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        del written[0]
        await made.begin("after/1")
        assert await made.standing() == (0, 2 * HELD, 0)
        assert await store.claim()
        await store.aclose()
    finally:
        group.end()


async def test_a_master_that_was_a_replica_in_between_is_another_server(redis: Redis, tmp_path: Path) -> None:
    """Its ``run_id`` is the same, and what it had alone it gave up when it became a replica."""
    first = await connection.identity(redis.url)
    assert first is not None
    with Redis(tmp_path / "second") as second:
        link = connection.connect(redis.url)
        await link.replicaof("127.0.0.1", second.port)
        with pytest.raises(StoreAway):
            await connection.identity(redis.url)
        begun = monotonic()
        while (await link.info("replication"))["master_link_status"] != "up":
            assert monotonic() - begun < PATIENCE
            await asyncio.sleep(0.05)
        await link.replicaof("NO", "ONE")
        await link.aclose()
    again = await connection.identity(redis.url)
    assert again is not None
    assert again != first
    assert again.split("/")[0] == first.split("/")[0]
