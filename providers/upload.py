"""A request body as a row of segments with a known length, streamed from where the bytes lie.

Uploaded pictures are never held whole: each is read a piece at a time from a fresh handle, and closed
whatever happens. :attr:`Upload.handed_over` is what the certainty of a failure hangs on: as long as the last
byte was not given to the transport, no upstream can have a whole request (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from binascii import b2a_base64
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import httpx2

from providers.base import InputFile

PIECE = 256 * 1024
"""Bytes given to the transport at once."""

_BASE64_PIECE = 3 * PIECE
"""A multiple of three, so that the encoded pieces join without padding between them."""


@dataclass(frozen=True, slots=True)
class Base64Of:
    """A file that goes out base64-encoded, as JSON bodies need it."""

    file: InputFile

    @property
    def size(self) -> int:
        return -(-self.file.size // 3) * 4


Segment = bytes | InputFile | Base64Of


class InputGone(Exception):
    """An input file cannot be read again or is shorter than it was when it was taken in."""


class Upload(httpx2.AsyncByteStream):
    """One body for one call. ``content_type`` goes into its header, ``length`` (bytes) into Content-Length.

    ``on_progress`` is called before each piece and once after the last one.
    """

    def __init__(self, content_type: str, segments: Sequence[Segment]) -> None:
        self.content_type = content_type
        self.length = sum(len(s) if isinstance(s, bytes) else s.size for s in segments)
        self.on_progress: Callable[[], None] | None = None
        self.broken: InputGone | None = None
        self.finished = False
        self._segments = segments
        self._given = 0
        self._handle: BinaryIO | None = None

    @property
    def started(self) -> bool:
        return self._given > 0

    @property
    def handed_over(self) -> bool:
        """True from the moment before the last byte is given to the transport: the careful side."""
        return self._given >= self.length

    def sha256(self) -> str:
        """The hash of the whole body, in hex, for who must sign it. It reads every file: call it in a thread.
        Raises OSError, ValueError or :class:`InputGone`."""
        found = hashlib.sha256()
        for segment in self._segments:
            if isinstance(segment, bytes):
                found.update(segment)
                continue
            encoded = isinstance(segment, Base64Of)
            file = segment.file if isinstance(segment, Base64Of) else segment
            with file.open() as handle:
                for start in range(0, file.size, _BASE64_PIECE):
                    read = _read_base64 if encoded else _read_exactly
                    found.update(read(handle, min(_BASE64_PIECE, file.size - start)))
        return found.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for segment in self._segments:
                async for piece in self._pieces(segment):
                    self._given += len(piece)
                    self._progressed()
                    yield piece
                    # An upstream that keeps up would otherwise take megabytes in one turn of the loop.
                    await asyncio.sleep(0)
        except (OSError, ValueError, InputGone) as error:
            # Kept here, because aiohttp wraps it into a connection error whose text holds the file's path.
            self.broken = InputGone("an input file could not be read again")
            raise self.broken from error
        finally:
            self.close()
        self.finished = True
        self._progressed()

    async def _pieces(self, segment: Segment) -> AsyncIterator[bytes]:
        if isinstance(segment, bytes):
            for start in range(0, len(segment), PIECE):
                yield segment[start : start + PIECE]
            return
        file = segment.file if isinstance(segment, Base64Of) else segment
        self._handle = handle = file.open()
        left = file.size
        while left:
            if isinstance(segment, Base64Of):
                size = min(left, _BASE64_PIECE)
                yield await asyncio.to_thread(_read_base64, handle, size)
            else:
                # Read on the event loop: the bytes were spooled moments ago and come from the page cache,
                # which takes less time than the way to a thread and back.
                size = min(left, PIECE)
                yield _read_exactly(handle, size)
            left -= size
        self.close()

    def _progressed(self) -> None:
        if self.on_progress is not None:
            self.on_progress()

    def close(self) -> None:
        """Close the open input, if any. Safe to call at any time and more than once."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    async def aclose(self) -> None:
        self.close()


def _read_exactly(handle: BinaryIO, size: int) -> bytes:
    data = handle.read(size)
    while len(data) < size:
        more = handle.read(size - len(data))
        if not more:
            raise InputGone("an input file is shorter than it was")
        data += more
    return data


def _read_base64(handle: BinaryIO, size: int) -> bytes:
    return b2a_base64(_read_exactly(handle, size), newline=False)
