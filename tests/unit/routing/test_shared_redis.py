"""What replicas tell each other over a real Redis, and without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from gateway.quota.connection import connect
from gateway.routing.names import TargetName
from gateway.routing.shared import OPEN, Alone, Note
from gateway.routing.shared_redis import STALE_AFTER, RedisHealth
from tests.servers import free_port

A, B = TargetName("a/m"), TargetName("b/m")


@asynccontextmanager
async def replica(url: str, name: str) -> AsyncIterator[RedisHealth]:
    link = connect(url)
    try:
        async with RedisHealth(link, name) as health:
            yield health
    finally:
        await link.aclose()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    began = perf_counter()
    while not condition():
        assert perf_counter() - began < seconds
        await asyncio.sleep(0.02)
    return perf_counter() - began


def open_at(health: RedisHealth) -> dict[TargetName, Note]:
    return {note.target: note for note in health.heard() or () if note.kind == OPEN}


async def test_one_replica_learns_from_another_within_two_seconds(redis_server: str) -> None:
    async with replica(redis_server, "learn") as one, replica(redis_server, "learn") as two:
        one.publish(Note(A, OPEN, 30.0, "auth"))
        one.publish(Note(B, "images", 10.0))
        took = await until(lambda: A in open_at(two), 6.0)  # on an idle machine two
        note = open_at(two)[A]
        assert 30.0 - took - 3.0 < note.seconds <= 30.0
        assert note.cause == "auth"
        (cooling,) = (note for note in two.heard() or () if note.kind == "images")
        assert cooling.target == B
        assert 10.0 - took - 3.0 < cooling.seconds <= 10.0
        one.withdraw(A)
        await until(lambda: A not in open_at(two))


async def test_a_later_end_never_gives_way_to_an_earlier_one(redis_server: str) -> None:
    async with replica(redis_server, "later") as one, replica(redis_server, "later") as two:
        one.publish(Note(A, OPEN, 60.0))
        await until(lambda: A in open_at(two))
        two.publish(Note(A, OPEN, 5.0))
        await asyncio.sleep(1.5)
        assert open_at(one)[A].seconds > 30


async def test_a_note_is_over_when_its_time_is(redis_server: str) -> None:
    async with replica(redis_server, "over") as one, replica(redis_server, "over") as two:
        one.publish(Note(A, OPEN, 4.0))
        await until(lambda: A in open_at(two))
        await until(lambda: A not in open_at(two))


async def test_deployments_on_one_server_stay_apart(redis_server: str) -> None:
    async with replica(redis_server, "red") as red, replica(redis_server, "blue") as blue:
        red.publish(Note(A, OPEN, 30.0))
        await until(lambda: A in open_at(red))
        await until(lambda: blue.heard() is not None)
        assert open_at(blue) == {}


async def test_without_redis_nothing_waits_and_nothing_is_heard() -> None:
    async with replica(f"redis://127.0.0.1:{free_port()}/0", "away") as health:
        began = perf_counter()
        for number in range(5000):
            health.publish(Note(TargetName(f"{number}/m"), OPEN, 30.0))
            assert health.heard() is None
        assert perf_counter() - began < 10  # one attempt to connect a note would be many times that
        await asyncio.sleep(0.1)
        assert health.heard() is None


async def test_what_was_heard_counts_for_ten_seconds_and_no_longer(redis_server: str) -> None:
    now = [100.0]
    link = connect(redis_server)
    try:
        health = RedisHealth(link, "stale", clock=lambda: now[0])
        async with health:
            health.publish(Note(A, OPEN, 300.0))
            await until(lambda: A in open_at(health))
        now[0] += STALE_AFTER
        assert A in open_at(health)
        now[0] += 0.1
        assert health.heard() is None
    finally:
        await link.aclose()


async def test_what_is_no_note_of_ours_is_passed_over(redis_server: str) -> None:
    link = connect(redis_server)
    try:
        async with replica(redis_server, "odd") as health:
            await link.zadd("{odd}:targets", {"not json": 9e15, "[1]": 9e15, '["a/m", "open"]': 9e15})
            await until(lambda: A in open_at(health))
            assert len(health.heard() or ()) == 1
    finally:
        await link.aclose()


async def test_notes_that_could_not_be_sent_are_sent_later(redis_server: str) -> None:
    link, gone = connect(redis_server), connect(f"redis://127.0.0.1:{free_port()}/0")
    try:
        health = RedisHealth(gone, "again")
        async with health:
            health.publish(Note(A, OPEN, 30.0))
            await asyncio.sleep(0.2)
            assert health.heard() is None
            health._link = link
            await until(lambda: A in open_at(health))
    finally:
        await link.aclose()
        await gone.aclose()


def test_one_replica_alone_hears_nothing() -> None:
    alone = Alone()
    alone.publish(Note(A, OPEN, 1.0))
    alone.withdraw(A)
    assert alone.heard() is None
