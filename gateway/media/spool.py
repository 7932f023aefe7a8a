"""Bodies on their way: chunks kept as they came, in memory under one budget over all requests, beyond it in
an unlinked temporary file that a thread writes and reads.

Nothing is joined, decoded or copied. A slow reader costs its own spool and nothing else: the upstream was
read at full speed and its connection is free.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

_BATCH = 256 << 10
"""Bytes gathered before a thread is asked to write them: a hop costs more than the write."""
_READ = 256 << 10

T = TypeVar("T")


class SpoolFailed(OSError):
    """The disk cannot take the spool (full, gone, not writable)."""


class SpoolTooLarge(ValueError):
    """One answer is larger than ``spool.max_answer``."""


class SpoolRoom:
    """The memory budget and the disk threads, one per process.

    ``memory`` is in bytes over all spools; ``max_answer`` in bytes for one; ``directory`` None means the
    system's temporary folder.
    """

    def __init__(self, memory: int, max_answer: int, directory: str | None = None) -> None:
        self.memory = memory
        self.max_answer = max_answer
        self.directory = directory
        self.in_memory = 0
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="spool")

    def spool(self) -> Spool:
        return Spool(self)

    async def in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def file(self) -> File:
        """A new unlinked file. Call it in a thread; raises OSError."""
        return File(self)

    def later(self, call: Callable[[], object]) -> None:
        """Run a cleanup in a thread without waiting; freeing a large file takes milliseconds."""
        try:
            self._threads.submit(call)
        except RuntimeError:  # the process is leaving and the threads are gone
            call()

    def close(self) -> None:
        self._threads.shutdown(wait=True)


class File:
    """An unlinked file, closed with its last user: a thread may still write or read it when the request that
    asked for that is gone, and a descriptor closed under it could by then be another file's."""

    def __init__(self, room: SpoolRoom) -> None:
        with tempfile.TemporaryFile(dir=room.directory, prefix="imagegate-spool-") as file:
            self.fd = os.dup(file.fileno())
        self._closed = weakref.finalize(self, room.later, partial(os.close, self.fd))

    def abandon(self) -> None:
        """Close it at once. For a file that no one else has seen."""
        if self._closed.detach():
            os.close(self.fd)


class Spool:
    """One body. Written to its end by one task, then read; ``close`` frees it and may be repeated."""

    __slots__ = (
        "_closed",
        "_file",
        "_held",
        "_memory",
        "_pending",
        "_pending_size",
        "_room",
        "_written",
        "size",
    )

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._memory: deque[bytes] = deque()
        self._held = 0
        self._file: File | None = None
        self._written = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._closed = False
        self.size = 0

    @property
    def on_disk(self) -> bool:
        return self._file is not None

    async def write(self, chunk: bytes) -> None:
        """Raises :class:`SpoolTooLarge` or :class:`SpoolFailed`; what was written before stays readable."""
        size = len(chunk)
        if self.size + size > self._room.max_answer:
            raise SpoolTooLarge(f"the answer is larger than {self._room.max_answer} bytes")
        if self._file is None and not self._pending and self._room.in_memory + size <= self._room.memory:
            self._memory.append(chunk)
            self._held += size
            self._room.in_memory += size
        else:
            self._pending.append(chunk)
            self._pending_size += size
            if self._pending_size >= _BATCH:
                await self._flush()
        self.size += size

    async def finish(self) -> None:
        """Call once after the last write."""
        if self._pending:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._pending, self._pending_size = self._pending, [], 0
        room, file, at = self._room, self._file, self._written
        try:
            self._file, written = await room.in_thread(lambda: _append(room, file, batch, at))
        except OSError as error:
            raise SpoolFailed(error.errno or 0, f"the spool cannot be written: {error.strerror}") from None
        self._written += written

    async def chunks(
        self, start: int = 0, stop: int | None = None, *, keep: bool = False
    ) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to ``stop``. Reading the whole body frees memory behind the reader, so it
        can be done once, unless ``keep``; a part may be read any number of times before."""
        stop = self.size if stop is None else stop
        frees = start == 0 and stop == self.size and not keep
        in_memory = self.size - self._written - self._pending_size
        async for chunk in self._from_memory(start, stop, frees):
            yield chunk
        position = max(start - in_memory, 0)
        end = stop - in_memory
        while position < end:
            chunk = await self._read(position, min(_READ, end - position))
            position += len(chunk)
            yield chunk

    async def _from_memory(self, start: int, stop: int, frees: bool) -> AsyncIterator[bytes]:
        if frees:
            while self._memory:
                chunk = self._memory.popleft()
                yield chunk
                self._release(len(chunk))
            return
        position = 0
        for chunk in self._memory:
            low, high = max(start - position, 0), min(stop - position, len(chunk))
            if low < high:
                yield chunk if high - low == len(chunk) else chunk[low:high]
            position += len(chunk)

    async def _read(self, position: int, size: int) -> bytes:
        file = self._file
        if file is None:
            raise SpoolFailed(0, "the spool holds fewer bytes than it should")
        try:
            chunk = await self._room.in_thread(lambda: os.pread(file.fd, size, position))
        except OSError as error:
            raise SpoolFailed(error.errno or 0, f"the spool cannot be read: {error.strerror}") from None
        if not chunk:
            raise SpoolFailed(0, "the spool's file is shorter than what was written")
        return chunk

    def _release(self, size: int) -> None:
        # After close() the remainder was handed back already; a reader that goes on must not do it twice.
        if not self._closed:
            self._held -= size
            self._room.in_memory -= size

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._room.in_memory -= self._held
        self._held = 0
        self._memory.clear()
        self._pending.clear()
        self._file = None


def _append(room: SpoolRoom, file: File | None, batch: Sequence[bytes], at: int) -> tuple[File, int]:
    """Write a batch at an offset, into a new file if there is none yet; (file, bytes written)."""
    opened = file or room.file()
    written = 0
    try:
        for chunk in batch:
            view = memoryview(chunk)
            while view:
                count = os.pwrite(opened.fd, view, at + written)
                written += count
                view = view[count:]
    except OSError:
        # Nobody else knows a new file yet, and on a full disk its bytes are what is missing.
        if file is None:
            opened.abandon()
        raise
    return opened, written
