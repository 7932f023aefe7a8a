"""The registry of running calls: what it lets in, waits for, and breaks off."""

from __future__ import annotations

import asyncio

import pytest

from gateway.engine.running import Draining, Running


async def test_nothing_new_is_taken_once_the_drain_has_begun() -> None:
    running, told = Running(), []
    running.when_draining(lambda: told.append("drain"))
    running.admit()
    running.drain()
    running.drain()
    assert told == ["drain"]
    with pytest.raises(Draining) as refused:
        running.admit()
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (503, "draining", True)


async def test_what_runs_may_still_begin_steps_of_its_own_and_is_waited_for() -> None:
    running, done = Running(), []

    async def last() -> None:
        await asyncio.sleep(0.02)
        done.append("last")

    async def first() -> None:
        await asyncio.sleep(0.02)
        running.start(last())

    running.start(first())
    running.drain()
    assert not await running.drained(0.001)
    assert await running.drained(5)
    assert (done, len(running)) == (["last"], 0)


async def test_all_is_broken_off_also_what_begins_meanwhile() -> None:
    running, ended = Running(), []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("stubborn")
            running.start(asyncio.sleep(60))

    task = running.start(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(running.cancel(), 5)
    assert task.cancelled()
    assert (ended, len(running)) == (["stubborn"], 0)
