"""How many conversions run at once, in what order, and for how long one waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from time import perf_counter

import pytest

from gateway.engine.conversions import Conversions, NoRoomInTime


class Work:
    """Jobs that run until they are let go, and how many run."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.order: list[int] = []
        self._gates: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.order.append(number)
            gate = self._gates.setdefault(number, threading.Event())
        gate.wait(10)
        with self._lock:
            self.running -= 1
        return number

    def let_go(self, number: int) -> None:
        with self._lock:
            gate = self._gates.setdefault(number, threading.Event())
        gate.set()


@pytest.fixture
async def room() -> AsyncIterator[Conversions]:
    made = Conversions(threads=2, pixels=100)
    yield made
    made.close()


def soon() -> float:
    return perf_counter() + 10


def start(room: Conversions, work: Work, number: int, pixels: int = 10) -> asyncio.Task[int]:
    return asyncio.ensure_future(room.run(lambda: work(number), pixels=pixels, deadline=soon()))


async def until(happened: object) -> None:
    assert callable(happened)
    async with asyncio.timeout(15):
        while not happened():
            await asyncio.sleep(0.002)


async def test_no_more_run_at_once_than_there_are_threads(room: Conversions) -> None:
    work = Work()
    tasks = [start(room, work, number) for number in range(6)]
    await until(lambda: work.running == 2)
    for number in range(6):
        work.let_go(number)
    assert await asyncio.gather(*tasks) == list(range(6))
    assert work.most == 2
    assert work.order == list(range(6))


async def test_pixels_are_bounded_over_all_and_a_large_one_is_not_passed_for_ever(room: Conversions) -> None:
    work = Work()
    tasks = [start(room, work, 0, 60), start(room, work, 1, 60), start(room, work, 2, 10)]
    await until(lambda: work.running == 1)
    await asyncio.sleep(0.02)
    assert work.order == [0]
    work.let_go(0)
    await until(lambda: work.order == [0, 1, 2])
    for number in (1, 2):
        work.let_go(number)
    await asyncio.gather(*tasks)


async def test_one_that_is_larger_than_all_the_room_runs_alone(room: Conversions) -> None:
    work = Work()
    tasks = [start(room, work, 0, 500), start(room, work, 1, 1)]
    await until(lambda: work.running == 1)
    work.let_go(0)
    work.let_go(1)
    await asyncio.gather(*tasks)
    assert (work.most, work.order) == (1, [0, 1])


async def test_who_waits_past_the_deadline_is_told_and_leaves_room_for_the_next(room: Conversions) -> None:
    work = Work()
    held = [start(room, work, 0), start(room, work, 1)]
    await until(lambda: work.running == 2)
    with pytest.raises(NoRoomInTime):
        await room.run(lambda: work(2), pixels=10, deadline=perf_counter() + 0.02)
    next_one = start(room, work, 3)
    for number in (0, 1, 3):
        work.let_go(number)
    assert await asyncio.gather(*held, next_one) == [0, 1, 3]
    assert 2 not in work.order


async def test_work_that_nobody_waits_for_keeps_its_room_until_it_ends(room: Conversions) -> None:
    work = Work()
    tasks = [start(room, work, 0), start(room, work, 1)]
    await until(lambda: work.running == 2)
    tasks[0].cancel()
    third = start(room, work, 2)
    await asyncio.sleep(0.02)
    assert work.order == [0, 1]
    for number in range(3):
        work.let_go(number)
    assert await third == 2
    assert await tasks[1] == 1
    assert work.most == 2


async def test_those_who_give_up_while_they_wait_are_passed_over(room: Conversions) -> None:
    work = Work()
    held = [start(room, work, 0), start(room, work, 1)]
    await until(lambda: work.running == 2)
    waiting = [start(room, work, number) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    for number in (0, 1, 4):
        work.let_go(number)
    assert await waiting[2] == 4
    await asyncio.gather(*held)
    assert work.order == [0, 1, 4]


async def test_what_the_work_raises_comes_out_and_gives_its_room_back(room: Conversions) -> None:
    def fails() -> None:
        raise ValueError("broken")

    for _ in range(5):
        with pytest.raises(ValueError, match="broken"):
            await room.run(fails, pixels=100, deadline=soon())
    assert await room.run(lambda: 1, pixels=100, deadline=soon()) == 1
