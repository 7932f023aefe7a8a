import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.media.spool import Spool, SpoolFailed, SpoolRoom, SpoolTooLarge


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[SpoolRoom]:
    made = SpoolRoom(memory=10_000, max_answer=10_000_000, directory=str(tmp_path))
    yield made
    made.close()


async def fill(spool: Spool, data: bytes, step: int) -> None:
    for at in range(0, len(data), step):
        await spool.write(data[at : at + step])
    await spool.finish()


async def read(spool: Spool, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks(start, stop)])


@pytest.mark.parametrize("size", [0, 1, 9_999, 10_001, 3_000_000])
async def test_what_goes_in_comes_out(room: SpoolRoom, size: int) -> None:
    data, spool = os.urandom(size), room.spool()
    await fill(spool, data, 701)
    assert spool.on_disk == (size > 10_000)
    assert await read(spool, 5, min(size, 1_200_000)) == data[5 : min(size, 1_200_000)]
    assert await read(spool) == data
    spool.close()
    assert room.in_memory == 0


async def test_the_budget_is_shared_and_never_exceeded(room: SpoolRoom) -> None:
    spools = [room.spool() for _ in range(5)]
    await asyncio.gather(*(fill(spool, bytes(4_000), 1_000) for spool in spools))
    assert room.in_memory <= 10_000
    assert sum(spool.on_disk for spool in spools) >= 2
    for spool in spools:
        assert await read(spool) == bytes(4_000)
        spool.close()
    assert room.in_memory == 0


async def test_closing_half_read_gives_everything_back_and_leaves_no_file(
    room: SpoolRoom, tmp_path: Path
) -> None:
    spool = room.spool()
    await fill(spool, bytes(2_000_000), 5_000)
    chunks = spool.chunks()
    await anext(chunks)
    spool.close()
    spool.close()
    await chunks.aclose()  # type: ignore[attr-defined]
    assert room.in_memory == 0
    assert os.listdir(tmp_path) == []


async def test_a_body_over_the_cap_is_refused(tmp_path: Path) -> None:
    room = SpoolRoom(memory=100, max_answer=1_000, directory=str(tmp_path))
    spool = room.spool()
    with pytest.raises(SpoolTooLarge):
        await fill(spool, bytes(1_001), 100)
    spool.close()
    room.close()


async def test_a_full_disk_keeps_no_file(room: SpoolRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    await room.in_thread(lambda: None)  # the room's first thread and what it opens
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        spool = room.spool()
        with pytest.raises(SpoolFailed):
            await fill(spool, bytes(400_000), 100_000)
        spool.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert room.in_memory == 0


async def test_a_disk_that_cannot_take_it_is_told_apart() -> None:
    room = SpoolRoom(memory=100, max_answer=10_000_000, directory="/nonexistent-folder")
    spool = room.spool()
    with pytest.raises(SpoolFailed):
        await fill(spool, bytes(1_000_000), 1_000)
    spool.close()
    room.close()


async def test_a_file_that_a_thread_still_writes_is_closed_after_it(
    room: SpoolRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, go = threading.Event(), threading.Event()
    states: list[bool] = []
    pwrite = os.pwrite

    def slow(fd: int, data: bytes, at: int) -> int:
        written.set()
        go.wait(5)
        states.append(is_open(fd))
        return pwrite(fd, data, at)

    def is_open(fd: int) -> bool:
        return os.path.exists(f"/proc/self/fd/{fd}")

    await room.in_thread(lambda: None)
    before = len(os.listdir("/proc/self/fd"))
    for first in (bytes(400_000), b""):  # into a file that is there, and into one that is being made
        spool = room.spool()
        await fill(spool, first, 100_000)
        monkeypatch.setattr(os, "pwrite", slow)
        writing = asyncio.ensure_future(fill(spool, bytes(300_000), 300_000))
        await asyncio.to_thread(written.wait, 5)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        spool.close()
        go.set()
        for _ in range(200):
            if states and len(os.listdir("/proc/self/fd")) <= before + 1:
                break
            await asyncio.sleep(0.01)
        assert states == [True]
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # the other thread's own
        states.clear()
        written.clear()
        go.clear()
        monkeypatch.setattr(os, "pwrite", pwrite)
    assert room.in_memory == 0
