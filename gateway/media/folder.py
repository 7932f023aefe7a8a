"""Pictures in a folder of this machine: one file each, in 256 folders by the first two digits of the id.

A file is written under another name, synced, and then renamed: nobody sees half a picture, and none that
was promised is lost with the power. All disk work is done by threads of its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import TypeVar

from gateway.media.links import format_of
from gateway.media.shelf import Kept, MediaFailed, MediaGone, Opened

_BATCH = 1 << 20
"""Bytes gathered before a thread is asked to write them."""

_READ = 256 << 10
_DRAFT = ".part"
_ABANDONED = timedelta(hours=1)

T = TypeVar("T")


class Folder:
    """One shelf; ``root`` is made when something is first kept."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="media")

    async def put(self, id: str, chunks: AsyncIterator[bytes]) -> int:
        draft = _Draft(self._path(id))
        size, batch, gathered = 0, list[bytes](), 0
        try:
            async for chunk in chunks:
                batch.append(chunk)
                gathered += len(chunk)
                if gathered >= _BATCH:
                    await self._in_thread(partial(draft.write, batch))
                    size, batch, gathered = size + gathered, [], 0
            await self._in_thread(partial(draft.finish, batch))
        except BaseException:
            # Without waiting: the task may be cancelled, and a failing disk takes its time.
            self._threads.submit(draft.abandon)
            raise
        return size + gathered

    async def open(self, id: str) -> Opened:
        file, size = await self._in_thread(partial(_open, self._path(id)))

        async def chunks() -> AsyncIterator[bytes]:
            left = size
            while left:
                chunk = await self._in_thread(partial(file.read, min(_READ, left)))
                if not chunk:
                    raise MediaFailed(0, "a kept picture is shorter than it was")
                left -= len(chunk)
                yield chunk

        async def aclose() -> None:
            self._threads.submit(file.close)

        return Opened(size, chunks(), aclose)

    async def delete(self, id: str) -> bool:
        try:
            await self._in_thread(self._path(id).unlink)
        except MediaGone:
            return False
        return True

    async def listing(self, beginning: str = "") -> AsyncIterator[list[Kept]]:
        for fan in [beginning[:2]] if beginning else [f"{number:02x}" for number in range(256)]:
            page = await self._in_thread(partial(_listed, self._root / fan, beginning))
            if page:
                yield page

    async def tidy(self, now: datetime) -> None:
        for number in range(256):
            await self._in_thread(partial(_tidy, self._root / f"{number:02x}", now))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    def _path(self, id: str) -> Path:
        if format_of(id) is None:
            raise MediaGone(id)
        return self._root / id[:2] / id

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FileNotFoundError as error:
            raise MediaGone from error
        except OSError as error:
            raise MediaFailed(error.errno or 0, f"the media folder: {error.strerror}") from error


class _Draft:
    """A picture that is being written, under a name of its own until it is whole. The lock is there because
    a thread may still write when the task that asked for it was cancelled and gives the draft up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
        self._file: FileIO | None = None
        self._given_up = False
        self._lock = Lock()

    def write(self, batch: Sequence[bytes]) -> None:
        with self._lock:
            if self._given_up:
                return
            self._file = self._file or self._create()
            for chunk in batch:
                view = memoryview(chunk)
                while view:
                    view = view[self._file.write(view) :]

    def finish(self, batch: Sequence[bytes]) -> None:
        self.write(batch)
        with self._lock:
            if self._given_up or self._file is None:
                return
            os.fsync(self._file.fileno())
            self._file.close()
            self._draft.rename(self._path)

    def abandon(self) -> None:
        with self._lock:
            self._given_up = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
                # Its end may have been reached meanwhile, but nobody was told the id.
                for path in (self._draft, self._path):
                    path.unlink(missing_ok=True)

    def _create(self) -> FileIO:
        self._draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileIO(self._draft, "x", opener=lambda path, flags: os.open(path, flags, 0o600))


def _open(path: Path) -> tuple[FileIO, int]:
    file = FileIO(path)
    return file, os.fstat(file.fileno()).st_size


def _listed(folder: Path, beginning: str) -> list[Kept]:
    found: list[Kept] = []
    for entry in _entries(folder):
        if format_of(entry.name) is not None and entry.name.startswith(beginning):
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                found.append(Kept(entry.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return found


def _tidy(folder: Path, now: datetime) -> None:
    for entry in _entries(folder):
        if entry.name.endswith(_DRAFT):
            with suppress(FileNotFoundError):
                since = datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)
                if now - since > _ABANDONED:
                    os.unlink(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
