"""What a whole picture file is, told from its structure; nothing is decoded, nothing is copied.

Where sniff.py sees the first bytes, this follows the format's own lengths through the file: past metadata
that is larger than any head (JPEG), to the orientation tag (EXIF of JPEG, PNG and WebP; ``irot`` of AVIF and
HEIC), and over the frames of an animation (GIF, WebP, APNG, AVIF), which a small file can have by the
thousand. Steps are bounded. Sources: the specifications named in sniff.py, EXIF 2.32 §4.6.2, the APNG chapter
of PNG 3.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

from gateway.images.sniff import Picture, sniff

MAX_PIXELS = 64_000_000
"""What a picture may claim to hold, all frames together, and what a conversion takes and makes: a small file
can claim far more than it is worth decoding. The largest that OpenAI makes have 8.3 million."""

MAX_FRAMES = 5_000
"""Of an animation; also what one of a million pieces counts as, which no common writer makes."""

HEAD = 65_536
"""First bytes, which show the size of all but odd JPEGs."""

Read = Callable[[int, int], bytes]
"""(offset, count) → at most so many bytes of the file, fewer at its end."""

_STEPS = 20_000
_BLOCKS = 400_000
"""Of a GIF's data, at most 255 bytes each: more than its pixels can fill."""
_EXIF = 4096
_ORIENTATION = 0x0112
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_WINDOW = 65_536


class _Endless(Exception):
    """A structure of more pieces than are worth following."""


def look(read: Read, size: int) -> Picture:
    """What the ``size`` bytes behind ``read`` are."""
    head = read(0, HEAD)
    picture = sniff(head)
    try:
        if picture.format == "jpeg":
            return _jpeg(picture, read, size)
        if picture.format == "png":
            return _png(picture, read, size)
        if picture.format == "webp":
            return _webp(picture, read, size)
        if picture.format == "gif":
            return _gif(picture, read, size)
    except (struct.error, IndexError):  # cut amid its structure: what was seen is what there is
        return picture
    except _Endless:
        return replace(picture, frames=MAX_FRAMES + 1)
    return _bmff(picture, head) if picture.format in ("avif", "heic") else picture


def may_move(head: bytes) -> bool:
    """Whether a file that begins so may be an animation in a format whose frames conversions keep."""
    format = sniff(head).format
    if format == "webp":
        return head[12:16] == b"VP8X" and bool(head[20:21] and head[20] & 0x02)
    return format == "gif" or (format == "avif" and head[8:12] == b"avis")


def is_bomb(picture: Picture) -> bool:
    """Whether it claims more than anybody should decode."""
    pixels = (picture.width or 0) * (picture.height or 0) * picture.frames
    return pixels > MAX_PIXELS or picture.frames > MAX_FRAMES


def of_file(file: BinaryIO) -> Read:
    """Reads an open file, wherever it stands."""

    def read(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return read


def of_base64(text: str, start: int) -> tuple[Read, int]:
    """Reads the bytes that ``text`` holds as base64 from ``start`` to its end, and how many these are. Only
    what is asked for is decoded; raises ValueError where that is no base64."""

    def read(at: int, count: int) -> bytes:
        first = at // 3 * 4
        last = -(-(at + count) // 3) * 4
        piece = binascii.a2b_base64(text[start + first : start + last])
        return piece[at % 3 : at % 3 + count]

    padding = text[-2:].count("=")
    return read, max((len(text) - start) // 4 * 3 - padding, 0)


def _jpeg(picture: Picture, read: Read, size: int) -> Picture:
    at, orientation = 2, 1
    for _ in range(_STEPS):
        header = read(at, 9)
        if len(header) < 4 or header[0] != 0xFF or header[1] in (0xD9, 0xDA):
            break
        marker, length = header[1], int(struct.unpack_from(">H", header, 2)[0])
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", header, 5)
            return replace(picture, width=width, height=height, orientation=orientation)
        if marker == 0xE1 and orientation == 1:
            payload = read(at + 4, min(length - 2, _EXIF))
            if payload[:6] == b"Exif\0\0":
                orientation = orientation_in(payload[6:])
        at += 2 + length
    return replace(picture, orientation=orientation)


def _png(picture: Picture, read: Read, size: int) -> Picture:
    """Both ``acTL`` and, by every common writer, ``eXIf`` stand before the pixels."""
    for kind, at, length in _chunks(read, 8, size, ">I4s", trailer=4):
        if kind == b"acTL":
            picture = replace(picture, frames=max(int(struct.unpack(">I", read(at, 4))[0]), 1))
        elif kind == b"eXIf":
            picture = replace(picture, orientation=orientation_in(read(at, min(length, _EXIF))))
        elif kind == b"IDAT":
            break
    return picture


def _webp(picture: Picture, read: Read, size: int) -> Picture:
    frames, orientation = 0, 1
    for kind, at, length in _chunks(read, 12, size, "<4sI"):
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = orientation_in(read(at, min(length, _EXIF)).removeprefix(b"Exif\0\0"))
    return replace(picture, frames=max(frames, 1), orientation=orientation)


def _chunks(
    read: Read, at: int, size: int, layout: str, trailer: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where its payload starts, length) of each chunk; RIFF's are padded to an even length."""
    for _ in range(_STEPS):
        if at + 8 > size:
            return
        first, second = struct.unpack(layout, read(at, 8))
        kind, length = (second, first) if isinstance(first, int) else (first, second)
        yield kind, at + 8, length
        at += 8 + length + trailer + (0 if trailer else length % 2)
    raise _Endless


def _bmff(picture: Picture, head: bytes) -> Picture:
    """A rotation of its own, never EXIF's; a sequence's frames are the samples of its track."""
    turned = head.find(b"irot")
    if 0 <= turned < len(head) - 4 and head[turned + 4] & 1:
        picture = replace(picture, orientation=6)
    samples = head.find(b"stsz")
    if head[8:12] == b"avis" and 0 <= samples <= len(head) - 16:
        picture = replace(picture, frames=max(int(struct.unpack_from(">I", head, samples + 12)[0]), 1))
    return picture


def _gif(picture: Picture, read: Read, size: int) -> Picture:
    """Image descriptors, counted until they are too many. A frame may be larger than the screen it is for,
    and decoders grow the picture to it."""
    window = _Window(read)
    width, height = picture.width or 1, picture.height or 1
    at = 13 + _colours(window.byte(10))
    frames = 0
    while at < size and frames * width * height <= MAX_PIXELS and frames <= MAX_FRAMES:
        mark = window.byte(at)
        if mark == 0x2C:
            frames += 1
            left, top, across, down = (window.number(at + place) for place in (1, 3, 5, 7))
            width, height = max(width, left + across), max(height, top + down)
            at = _after_blocks(window, at + 11 + _colours(window.byte(at + 9)))
        elif mark == 0x21:
            at = _after_blocks(window, at + 2)
        else:
            break
    return replace(picture, width=width, height=height, frames=max(frames, 1))


def _colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(window: _Window, at: int) -> int:
    while length := window.byte(at):
        window.blocks += 1
        if window.blocks > _BLOCKS:
            raise _Endless
        at += 1 + length
    return at + 1


class _Window:
    """Single bytes of a file, read by the piece. Raises IndexError beyond its end."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._start = 0
        self._piece = b""
        self.blocks = 0

    def byte(self, at: int) -> int:
        place = at - self._start
        if not 0 <= place < len(self._piece):
            self._start, place = at, 0
            self._piece = self._read(at, _WINDOW)
        return self._piece[place]

    def number(self, at: int) -> int:
        """Two bytes, the low one first."""
        return self.byte(at) | self.byte(at + 1) << 8


def orientation_in(tiff: bytes) -> int:
    """The orientation tag of EXIF data, 1 where there is none that can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        directory = int(struct.unpack_from(f"{order}I", tiff, 4)[0])
        count = int(struct.unpack_from(f"{order}H", tiff, directory)[0])
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == 3:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
