"""Parts of an answer kept until it is known which of them count: little of them in memory, the rest in an
unlinked file."""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from collections.abc import AsyncIterator, Sequence

_MEMORY = 1 << 20
"""Bytes that one answer keeps in memory."""

_BATCH = 256 << 10
"""Bytes gathered before a thread is asked to write them: a hop costs more than the write."""

_READ = 256 << 10


class Held:
    """Written in order, then read by place. It is freed with its last reference: a thread may still write
    when the call that asked for that was cancelled."""

    def __init__(self) -> None:
        self.size = 0
        self._memory: list[bytes] = []
        self._in_memory = 0
        self._file: int | None = None
        self._on_disk = 0
        self._disk_failed = False

    async def write(self, data: bytes) -> None:
        self._memory.append(data)
        self._in_memory += len(data)
        self.size += len(data)
        if self._disk_failed or self.size <= _MEMORY or self._in_memory < _BATCH:
            return
        # What comes meanwhile waits for this call; so the batch is all that there is.
        batch, self._memory, self._in_memory = self._memory, [], 0
        try:
            await asyncio.to_thread(self._append, batch)
        except OSError:
            # The picture is paid for: a disk that cannot take it must not lose it.
            self._disk_failed = True
            self._memory, self._in_memory = batch, sum(map(len, batch))

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to ``stop``. Raises OSError when the file cannot be read."""
        while start < min(stop, self._on_disk):
            size = min(_READ, stop - start, self._on_disk - start)
            data = await asyncio.to_thread(self._pread, size, start)
            if not data:
                raise OSError("a temporary file is shorter than what was written")
            start += len(data)
            yield data
        at = self._on_disk
        for piece in self._memory:
            low, high = max(start - at, 0), min(stop - at, len(piece))
            if low < high:
                yield piece if high - low == len(piece) else piece[low:high]
            at += len(piece)

    def _append(self, batch: Sequence[bytes]) -> None:
        if self._file is None:
            with tempfile.TemporaryFile(prefix="imagegate-held-") as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        at = self._on_disk
        for piece in batch:
            view = memoryview(piece)
            while view:
                written = os.pwrite(self._file, view, at)
                at, view = at + written, view[written:]
        # Only what is there as a whole counts; a batch that failed is written over or kept in memory.
        self._on_disk = at

    def _pread(self, size: int, at: int) -> bytes:
        assert self._file is not None
        return os.pread(self._file, size, at)
