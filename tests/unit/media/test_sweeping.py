"""Old pictures go, first by age, then for want of room; never more than a pass may, whoever else sweeps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.media import MediaSettings
from gateway.media.folder import Folder
from gateway.media.shelf import MediaFailed
from gateway.media.store import MediaStore
from gateway.media.sweeping import Swept, kept_swept
from tests.unit.media.shelves import LINKS, chunks_of, everything, new_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = 86_400


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Folder]:
    made = Folder(tmp_path)
    yield made
    await made.aclose()


async def aged(shelf: Folder, root: Path, *hours: float, size: int = 100) -> list[str]:
    ids = []
    for age in hours:
        id = new_id()
        await shelf.put(id, chunks_of(bytes(size)))
        then = (NOW - timedelta(hours=age)).timestamp()
        os.utime(root / id[:2] / id, (then, then))
        ids.append(id)
    return ids


def store_on(shelf: Folder, **settings: object) -> MediaStore:
    return MediaStore(shelf, LINKS, MediaSettings(**settings))  # type: ignore[arg-type]


async def left(shelf: Folder) -> set[str]:
    return {kept.id for kept in await everything(shelf)}


async def test_what_is_older_than_keep_goes(shelf: Folder, tmp_path: Path) -> None:
    _, young, _ = await aged(shelf, tmp_path, 25, 23, 400)
    assert await store_on(shelf).sweep(now=NOW) == Swept(2, 200, 0, 1, 100)
    assert await left(shelf) == {young}
    assert await store_on(shelf).sweep(now=NOW) == Swept(0, 0, 0, 1, 100)


async def test_beyond_the_room_the_oldest_go(shelf: Folder, tmp_path: Path) -> None:
    ids = await aged(shelf, tmp_path, 1, 5, 3, 2, 4)
    assert await store_on(shelf, max_total=250).sweep(now=NOW) == Swept(3, 300, 0, 2, 200)
    assert await left(shelf) == {ids[0], ids[3]}


async def test_a_picture_that_goes_while_its_link_works_is_counted(shelf: Folder, tmp_path: Path) -> None:
    await aged(shelf, tmp_path, 0.1, 0.5, 2)
    assert (await store_on(shelf, max_total=150).sweep(now=NOW)).early == 1


async def test_a_pass_is_bounded_and_the_next_one_goes_on(shelf: Folder, tmp_path: Path) -> None:
    await aged(shelf, tmp_path, 30, 31, 32, 1, 2, 3)
    store = store_on(shelf, max_total=100)
    removed = [(await store.sweep(now=NOW, most_removed=2)).removed for _ in range(4)]
    assert removed == [2, 2, 1, 0]
    assert len(await left(shelf)) == 1


async def test_several_replicas_may_sweep_at_once(shelf: Folder, tmp_path: Path) -> None:
    young, *_ = await aged(shelf, tmp_path, 1, *range(30, 80))
    swept = await asyncio.gather(*(store_on(shelf).sweep(now=NOW) for _ in range(4)))
    assert sum(each.removed for each in swept) == 50
    assert await left(shelf) == {young}


async def test_other_files_in_the_folder_are_not_touched(shelf: Folder, tmp_path: Path) -> None:
    (id,) = await aged(shelf, tmp_path, 30)
    for name in ("notes.txt", "picture.png"):
        (tmp_path / id[:2] / name).write_text("mine")
        os.utime(tmp_path / id[:2] / name, (0, 0))
    await store_on(shelf).sweep(now=NOW)
    assert sorted(path.name for path in (tmp_path / id[:2]).iterdir()) == ["notes.txt", "picture.png"]


async def test_an_empty_place_is_swept_too(shelf: Folder) -> None:
    assert await store_on(shelf).sweep(now=NOW) == Swept(0, 0, 0, 0, 0)


async def test_sweeping_goes_on_in_the_background_whatever_goes_wrong() -> None:
    done, enough = 0, asyncio.Event()

    class Store:
        async def sweep(self) -> Swept:
            nonlocal done
            done += 1
            if done == 1:
                raise MediaFailed(5, "the bucket is away")
            if done == 2:
                raise ZeroDivisionError
            enough.set()
            return Swept(1, 1, 1, 0, 0)

    async with kept_swept(Store(), 0.001):
        await asyncio.wait_for(enough.wait(), 20)
    count = done
    await asyncio.sleep(0.01)
    assert done == count
