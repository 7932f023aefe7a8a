"""What a picture is, told from its first and last bytes; nothing is decoded.

Formats: PNG, JPEG, GIF, WebP, AVIF and HEIC (ISO BMFF) and SVG (text). Sources of the layouts: the PNG,
GIF89a and JPEG specifications, the WebP container document, ISO/IEC 14496-12 (``ispe``), 23008-12 (brands).
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_BRANDS = 64
"""Bytes of a container's first box that are looked at."""
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Picture:
    """``format`` is OpenAI's word (png jpeg webp gif avif svg), heic, or None where it could not be seen;
    width and height are pixels as stored, None where they could not be seen. ``orientation`` is EXIF's (1
    upright, 5 to 8 on its side), ``frames`` counts an animation's; a head alone tells neither (look.py)."""

    format: str | None
    width: int | None
    height: int | None
    orientation: int = 1
    frames: int = 1

    @property
    def size(self) -> str | None:
        return f"{self.width}x{self.height}" if self.width and self.height else None

    @property
    def upright(self) -> tuple[int | None, int | None]:
        """Width and height as it is seen, turned as its orientation says."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def sniff_format(head: bytes) -> str | None:
    """The format by magic number, from at least the first 16 bytes."""
    if head.startswith(_PNG):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"<svg", b"<?xml", b"<!DOCTYPE svg")) or (text[:1] == b"<" and b"<svg" in text):
        return "svg"
    return None


def _of_brands(head: bytes) -> str | None:
    """AVIF and HEIC are one container; its brands tell them apart. ``mif1`` is that of any picture in it."""
    end = min(int.from_bytes(head[:4], "big"), len(head), _BRANDS)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    for brand in brands:
        if brand in (b"avif", b"avis"):
            return "avif"
        if brand in _HEIC:
            return "heic"
    return "avif" if brands[0] == b"mif1" else None


def sniff(head: bytes) -> Picture:
    """Format and size from the first bytes (a few KB are enough for all but JPEGs with large metadata)."""
    found = sniff_format(head)
    size = _SIZES[found](head) if found in _SIZES else None
    return Picture(found, *(size or (None, None)))


def judge_base64(head: bytes, tail: bytes, length: int) -> Picture:
    """Judge a base64 text by its head, tail (both raw base64) and whole length in characters.

    Raises ValueError, saying what is wrong: a length that is no multiple of 4, bytes that are no base64, an
    unknown format, or a picture that does not end as its format does (it was cut).
    """
    if length % 4:
        raise ValueError("b64_json is cut: its length is not a multiple of 4")
    first = _decode(head[: len(head) // 4 * 4])
    last = _decode(tail[len(tail) % 4 :])
    padding = tail[-2:].count(b"=")
    try:
        return judge_bytes(first, last, length // 4 * 3 - padding)
    except ValueError as error:
        raise ValueError(f"b64_json holds {error}") from None


def judge_bytes(first: bytes, last: bytes, size: int) -> Picture:
    """Judge a file by its first bytes (a few KB), its last (at least 64) and its whole size in bytes. Raises
    ValueError, whose text says what it is instead of a picture."""
    picture = sniff(first)
    if picture.format is None:
        raise ValueError("what is no picture in a known format")
    if not _ends_well(picture.format, first, last, size):
        raise ValueError(f"a {picture.format} that does not end as one: it is cut")
    return picture


def _decode(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        raise ValueError("b64_json is not base64") from None


def _ends_well(found: str, first: bytes, last: bytes, size: int) -> bool:
    if found == "png":
        return last.endswith(_PNG_END)
    if found == "jpeg":
        # Some writers pad after the end marker; a cut file has none near its end.
        return b"\xff\xd9" in last
    if found == "gif":
        return last.rstrip(b"\x00").endswith(b"\x3b")
    if found == "webp":
        return int(struct.unpack_from("<I", first, 4)[0]) + 8 <= size
    if found == "svg":
        return b"</svg>" in last
    return _boxes_fit(first, size)


def _boxes_fit(first: bytes, size: int) -> bool:
    """Whether no top-level box of an ISO BMFF file (AVIF, HEIC) claims bytes beyond the file's end."""
    position = 0
    while position + 8 <= len(first):
        length = int(struct.unpack_from(">I", first, position)[0])
        if length == 1 and position + 16 <= len(first):
            length = int(struct.unpack_from(">Q", first, position + 8)[0])
        if length == 0:  # "to the end of the file"
            return True
        if length < 8 or position + length > size:
            return False
        position += length
    return True


def _png_size(head: bytes) -> tuple[int, int] | None:
    return struct.unpack_from(">II", head, 16) if len(head) >= 24 and head[12:16] == b"IHDR" else None


def _gif_size(head: bytes) -> tuple[int, int] | None:
    return struct.unpack_from("<HH", head, 6) if len(head) >= 10 else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    if len(head) < 30:
        return None
    chunk = head[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, position + 5)
            return width, height
        position += 2 + int(struct.unpack_from(">H", head, position + 2)[0])
    return None


def _bmff_size(head: bytes) -> tuple[int, int] | None:
    """The largest that any item has: a grid's tiles come with sizes of their own."""
    found: list[tuple[int, int]] = []
    at = head.find(b"ispe")
    while 0 <= at <= len(head) - 16:
        found.append(struct.unpack_from(">II", head, at + 8))
        at = head.find(b"ispe", at + 4)
    return max(found, key=lambda size: size[0] * size[1], default=None)


_SIZES = {
    "png": _png_size,
    "gif": _gif_size,
    "webp": _webp_size,
    "jpeg": _jpeg_size,
    "avif": _bmff_size,
    "heic": _bmff_size,
}
