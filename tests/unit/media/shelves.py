"""What every shelf promises, to be tried on each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.media.links import MediaLinks
from gateway.media.shelf import Kept, MediaGone, Shelf

LINKS = MediaLinks(b"secret", timedelta(hours=1))


def new_id(request: str = "req_1", format: str = "png") -> str:
    return LINKS.new_id(format, request)


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(shelf: Shelf, id: str) -> bytes:
    opened = await shelf.open(id)
    try:
        data = b"".join([chunk async for chunk in opened.chunks])
    finally:
        await opened.aclose()
    assert len(data) == opened.size
    return data


async def everything(shelf: Shelf, beginning: str = "") -> list[Kept]:
    return [kept async for page in shelf.listing(beginning) for kept in page]


class SourceBroke(Exception):
    pass


class ShelfContract:
    """Subclasses give the fixture ``shelf``."""

    async def test_what_is_put_is_given_back(self, shelf: Shelf) -> None:
        id = new_id()
        assert await shelf.put(id, chunks_of(b"ab", b"", b"c")) == 3
        assert await read(shelf, id) == b"abc"
        assert await read(shelf, id) == b"abc"

    async def test_nothing_is_a_picture_too(self, shelf: Shelf) -> None:
        id = new_id()
        assert await shelf.put(id, chunks_of()) == 0
        assert await read(shelf, id) == b""

    async def test_many_megabytes_go_through(self, shelf: Shelf) -> None:
        id, chunk = new_id(), bytes(range(256)) * 1024
        assert await shelf.put(id, chunks_of(*[chunk] * 50)) == 50 * len(chunk)
        assert await read(shelf, id) == chunk * 50

    async def test_what_was_removed_is_gone(self, shelf: Shelf) -> None:
        id = new_id()
        await shelf.put(id, chunks_of(b"x"))
        assert await shelf.delete(id)
        assert not await shelf.delete(id)
        with pytest.raises(MediaGone):
            await shelf.open(id)

    @pytest.mark.parametrize("wrong", ["", "../../etc/passwd", "a" * 200, "x.png"])
    async def test_what_is_no_id_is_nowhere(self, shelf: Shelf, wrong: str) -> None:
        with pytest.raises(MediaGone):
            await shelf.open(wrong)
        assert not await shelf.delete(wrong)

    @pytest.mark.parametrize("before", [0, 1, 12])
    async def test_a_source_that_breaks_leaves_nothing(self, shelf: Shelf, before: int) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            for _ in range(before):
                yield bytes(1 << 20)
            raise SourceBroke

        with pytest.raises(SourceBroke):
            await shelf.put(new_id(), breaking())
        assert await everything(shelf) == []

    async def test_a_put_that_is_cancelled_leaves_nothing(self, shelf: Shelf) -> None:
        started = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            for _ in range(7):
                yield bytes(1 << 20)
            started.set()
            await asyncio.sleep(30)

        task = asyncio.create_task(shelf.put(new_id(), stalled()))
        await asyncio.wait_for(started.wait(), 10)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
        assert await everything(shelf) == []

    async def test_the_listing_has_all_with_size_and_time(self, shelf: Shelf) -> None:
        ids = [new_id(f"req_{number}") for number in range(20)]
        for number, id in enumerate(ids):
            await shelf.put(id, chunks_of(bytes(number)))
        listed = {kept.id: kept for kept in await everything(shelf)}
        assert set(listed) == set(ids)
        for number, id in enumerate(ids):
            assert listed[id].size == number
            assert abs(datetime.now(UTC) - listed[id].since) < timedelta(minutes=1)

    async def test_the_listing_of_one_request_has_its_own(self, shelf: Shelf) -> None:
        mine = [new_id("req_1") for _ in range(3)]
        for id in (*mine, new_id("req_2"), new_id("req_3")):
            await shelf.put(id, chunks_of(b"x"))
        assert {kept.id for kept in await everything(shelf, LINKS.of_request("req_1"))} == set(mine)
