"""Pictures on disk: private, whole or not there, and nothing left by what went wrong."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.media import folder
from gateway.media.folder import Folder
from gateway.media.shelf import MediaFailed
from tests.unit.media.shelves import ShelfContract, chunks_of, new_id, read


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Folder]:
    made = Folder(tmp_path / "media")
    yield made
    await made.aclose()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


class TestFolder(ShelfContract):
    async def test_nobody_else_may_read_it(self, shelf: Folder, tmp_path: Path) -> None:
        previous = os.umask(0)
        try:
            await shelf.put(new_id(), chunks_of(b"x"))
        finally:
            os.umask(previous)
        (file,) = files(tmp_path)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    async def test_it_lies_in_the_folder_of_its_first_two_digits(self, shelf: Folder, tmp_path: Path) -> None:
        id = new_id()
        await shelf.put(id, chunks_of(b"x"))
        assert files(tmp_path) == [tmp_path / "media" / id[:2] / id]

    async def test_nobody_sees_half_a_picture(self, shelf: Folder, tmp_path: Path) -> None:
        id, seen = new_id(), []

        async def watched() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(1 << 20)
                seen.extend(path.suffix for path in files(tmp_path))

        await shelf.put(id, watched())
        assert set(seen) == {".part"}
        assert [path.suffix for path in files(tmp_path)] == [".png"]

    async def test_what_went_wrong_leaves_no_file(self, shelf: Folder, tmp_path: Path) -> None:
        await self.test_a_put_that_is_cancelled_leaves_nothing(shelf)
        await self.test_a_source_that_breaks_leaves_nothing(shelf, 3)
        await shelf.aclose()
        assert files(tmp_path) == []

    async def test_a_write_that_hangs_while_its_task_is_cancelled_leaves_no_file(
        self, shelf: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging, go_on = threading.Event(), threading.Event()
        real = folder._Draft._create

        def slow(draft: folder._Draft) -> object:
            hanging.set()
            go_on.wait(10)
            return real(draft)

        monkeypatch.setattr(folder._Draft, "_create", slow)
        task = asyncio.create_task(shelf.put(new_id(), chunks_of(b"x")))
        await asyncio.to_thread(hanging.wait, 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go_on.set()
        await shelf.aclose()
        assert files(tmp_path) == []

    async def test_a_reader_keeps_a_picture_that_is_removed_meanwhile(self, shelf: Folder) -> None:
        id = new_id()
        await shelf.put(id, chunks_of(b"abc"))
        opened = await shelf.open(id)
        await shelf.delete(id)
        assert b"".join([chunk async for chunk in opened.chunks]) == b"abc"
        await opened.aclose()

    async def test_f61_a_disk_that_cannot_take_it_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "media").write_text("a file where the folder should be")
        shelf = Folder(tmp_path / "media")
        with pytest.raises(MediaFailed):
            await shelf.put(new_id(), chunks_of(b"x"))
        await shelf.aclose()

    async def test_old_drafts_are_tidied_and_young_ones_are_left(self, shelf: Folder, tmp_path: Path) -> None:
        id = new_id()
        await shelf.put(id, chunks_of(b"x"))
        home = tmp_path / "media" / id[:2]
        old, young = home / f"{id}.00000000.part", home / f"{id}.11111111.part"
        for path in (old, young):
            path.write_bytes(b"")
        os.utime(old, (0, 0))
        await shelf.tidy(datetime.now(UTC) + timedelta(minutes=1))
        assert not old.exists()
        assert young.exists()
        assert await read(shelf, id) == b"x"
