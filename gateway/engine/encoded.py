"""Base64 into bytes and back, a slice at a time in threads, so that no picture holds up the event loop."""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from gateway.media.spool import Spool, SpoolRoom

_SLICE = 384 << 10
"""Bytes that a thread takes at once: under a millisecond of work; a multiple of 3 and of 4."""


class NotBase64(ValueError):
    """A string that should be base64 is not."""


@dataclass(frozen=True, slots=True)
class Content:
    """One picture's bytes somewhere: in a part of a spool, as base64 (perhaps with its slashes escaped, as
    JSON may) or as they are; or in ``text``, as base64."""

    spool: Spool | None
    start: int = 0
    stop: int = 0
    encoded: bool = True
    escaped: bool = False
    text: bytes = b""


async def raw_chunks(content: Content, room: SpoolRoom) -> AsyncIterator[bytes]:
    """The picture's own bytes, any number of times: what fails with them half-way falls back on them. Raises
    :class:`NotBase64` and ``SpoolFailed``."""
    if not content.encoded:
        assert content.spool is not None
        async for chunk in content.spool.chunks(content.start, content.stop, keep=True):
            yield chunk
        return
    rest = b""
    async for piece in _slices(_stored(content)):
        decoded, rest = await room.in_thread(partial(_decoded, rest, piece, content.escaped))
        yield decoded
    if rest:
        raise NotBase64("b64_json is cut: its length is not a multiple of 4")


async def whole_bytes(content: Content, room: SpoolRoom) -> bytes:
    """All of them at once, for those who cannot do with less."""
    buffer = BytesIO()
    async for chunk in raw_chunks(content, room):
        buffer.write(chunk)
    return buffer.getvalue()  # no copy: the buffer gives up its own


async def encode_into(spool: Spool, chunks: AsyncIterator[bytes], room: SpoolRoom) -> None:
    """Write base64 of what ``chunks`` yields, to the spool's end. Raises what they and the spool raise."""
    rest = b""
    async for piece in _slices(chunks):
        text, rest = await room.in_thread(partial(_encoded, rest, piece))
        await spool.write(text)
    if rest:
        await spool.write(binascii.b2a_base64(rest, newline=False))
    await spool.finish()


async def sliced(data: bytes) -> AsyncIterator[bytes]:
    """Large bytes in slices that cost a thread little; nothing is copied twice."""
    for start in range(0, len(data), _SLICE):
        yield data[start : start + _SLICE]


async def _stored(content: Content) -> AsyncIterator[bytes]:
    if content.spool is None:
        yield content.text
        return
    async for chunk in content.spool.chunks(content.start, content.stop, keep=True):
        yield chunk


async def _slices(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Chunks gathered to about a slice: a thread costs more than the work on a small one."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        # A spool keeps chunks as they came, and one may be a whole picture.
        for start in range(0, len(chunk), _SLICE):
            part = chunk[start : start + _SLICE] if len(chunk) > _SLICE else chunk
            gathered.append(part)
            size += len(part)
            if size >= _SLICE:
                yield gathered
                gathered, size = [], 0
    if gathered:
        yield gathered


def _decoded(rest: bytes, piece: list[bytes], escaped: bool) -> tuple[bytes, bytes]:
    text = b"".join((rest, *piece))
    if escaped:
        text = text.replace(b"\\", b"")
    cut = len(text) // 4 * 4
    try:
        return binascii.a2b_base64(memoryview(text)[:cut], strict_mode=True), text[cut:]
    except binascii.Error:
        raise NotBase64("b64_json is not base64") from None


def _encoded(rest: bytes, piece: list[bytes]) -> tuple[bytes, bytes]:
    data = b"".join((rest, *piece))
    cut = len(data) // 3 * 3
    return binascii.b2a_base64(memoryview(data)[:cut], newline=False), data[cut:]
