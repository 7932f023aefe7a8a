"""Pictures that go in, on their way: small ones in memory, the rest in unlinked temporary files.

One request keeps at most :data:`MEMORY` bytes of finished files in memory. Larger files are written a
megabyte at a time by a worker thread, so that a slow disk never holds the event loop. An unlinked file has no
name: nothing is left behind, whatever ends the process.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import weakref
from collections.abc import Callable
from typing import BinaryIO

from gateway.errors import Unavailable
from gateway.images.look import look, of_file
from gateway.images.sniff import Picture

MEMORY = 1 << 20
"""Bytes of one request's files in memory, and of one file before it goes to disk."""

_AT_ONCE = 1 << 20
"""Bytes of a file that is looked at without a thread; animations can have structures of a million steps."""


class Uploads:
    """All files of one request."""

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._room = _Room()
        self._files: list[Upload] = []
        self._held: list[Callable[[], None]] = []

    def begin(self) -> Upload:
        upload = Upload(self._directory, self._room)
        self._files.append(upload)
        return upload

    def holds(self, give_back: Callable[[], None]) -> None:
        """Something else that goes with the request's bytes; given back with them."""
        self._held.append(give_back)

    def close(self) -> None:
        """Give memory and disk back. Handles that are open stay readable, none can be opened after this."""
        for upload in self._files:
            upload.close()
        self._files.clear()
        while self._held:
            self._held.pop()()


class _Room:
    """The memory that one request's finished files share."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, size: int) -> bool:
        """Whether a file of this size may stay in memory; counts it if so."""
        if self._taken + size > MEMORY:
            return False
        self._taken += size
        return True


class Upload:
    """One file: ``take`` its bytes, ``flush`` when told to, ``finish`` at its end, then ``open`` at will."""

    def __init__(self, directory: str | None, room: _Room) -> None:
        self._directory = directory
        self._room = room
        self._buffer = bytearray()
        self._memory: bytes | None = None
        self._stored: _Stored | None = None
        self._writing = False
        self.size = 0

    def take(self, chunk: bytes) -> bool:
        """Add bytes; True when :meth:`flush` is due."""
        self._buffer += chunk
        self.size += len(chunk)
        return len(self._buffer) >= MEMORY

    async def flush(self) -> None:
        """Write what has gathered to disk. Raises :class:`Unavailable` when the disk does not take it."""
        pending, self._buffer = self._buffer, bytearray()
        loop = asyncio.get_running_loop()
        self._writing = True  # and it stays so when this is cancelled: the thread goes on
        try:
            self._stored = await loop.run_in_executor(None, _write, self._stored, self._directory, pending)
            self._writing = False
        except OSError:
            self._writing = False
            raise Unavailable(
                "This gateway could not store your upload for now. Please try again later.",
                code="upload_storage_unavailable",
            ) from None

    async def finish(self) -> None:
        """The file is whole."""
        if self._stored is None and self._room.take(self.size):
            self._memory, self._buffer = bytes(self._buffer), bytearray()
        elif self._buffer:
            await self.flush()

    def open(self) -> BinaryIO:
        """A fresh handle at position 0, independent of all others; the caller closes it."""
        if self._stored is not None:
            return io.BufferedReader(_Slice(os.dup(self._stored.descriptor), self.size), MEMORY // 4)
        if self._memory is not None:
            return io.BytesIO(self._memory)
        raise ValueError("the upload was closed")

    def close(self) -> None:
        if self._stored is not None and not self._writing:
            self._stored.close()
        self._memory, self._stored, self._buffer = None, None, bytearray()


async def look_at(upload: Upload) -> Picture:
    """What a finished file is."""
    return await asyncio.to_thread(_look_at, upload) if upload.size > _AT_ONCE else _look_at(upload)


def _look_at(upload: Upload) -> Picture:
    with upload.open() as file:
        return look(of_file(file), upload.size)


class _Stored:
    """An unlinked file's descriptor, closed when told to and with its last user at the latest: a worker
    thread may still write to it when the request has already been given up."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close = weakref.finalize(self, _close_later, descriptor)


def _close_later(descriptor: int) -> None:
    """Freeing a large file takes milliseconds, which is a thread's business while there is a loop."""
    try:
        asyncio.get_running_loop().run_in_executor(None, os.close, descriptor)
    except RuntimeError:
        os.close(descriptor)


def _write(stored: _Stored | None, directory: str | None, data: bytearray) -> _Stored:
    if stored is None:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            stored = _Stored(os.dup(file.fileno()))
    view = memoryview(data)
    while view:
        view = view[os.write(stored.descriptor, view) :]
    return stored


class _Slice(io.RawIOBase):
    """The first ``size`` bytes of a descriptor, which it owns, read by position."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(self._size - self._at, 0))
        got = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._at) if wanted else 0
        self._at += got
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
