"""Real pictures of any size in pixels and in bytes, cheap enough to serve by the thousand.

A picture is made of two parts: a small *opening* that holds the format's header and a serial number (so that
no two answers are alike), and a large *rest* that is made once, padded to the wanted size with a chunk that
decoders skip, and kept as base64. The opening is a multiple of three bytes long, so that the two base64
texts joined are the base64 of the whole.
"""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

PADDING = b"paDd"  # a PNG chunk type: ancillary, private, safe to copy


@dataclass(frozen=True, slots=True)
class Picture:
    """``opening_b64`` + ``rest_b64`` is the base64 of a file of ``size`` bytes."""

    opening_b64: bytes
    rest_b64: bytes
    size: int

    @property
    def b64(self) -> bytes:
        return self.opening_b64 + self.rest_b64

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.b64)


def picture(
    fmt: str, width: int, height: int, *, size: int = 0, serial: int = 0, transparent: bool = False
) -> Picture:
    """A ``png``, ``jpeg``, ``webp``, ``gif`` or ``svg`` of the given pixels and at least ``size`` bytes.

    Where ``size`` is more than the smallest such file needs, the result has exactly that many bytes
    (GIF and JPEG: within 4).
    """
    opening = _OPENINGS[fmt](width, height, serial, size)
    rest = _rest(fmt, width, height, max(0, size - len(opening)), transparent)
    if fmt == "webp":  # its header states the length of the whole file
        opening = opening[:4] + struct.pack("<I", len(opening) + rest[0] - 8) + opening[8:]
    return Picture(base64.b64encode(opening), rest[1], len(opening) + rest[0])


@lru_cache(maxsize=24)
def _rest(fmt: str, width: int, height: int, size: int, transparent: bool) -> tuple[int, bytes]:
    data = _RESTS[fmt](width, height, size, transparent)
    return len(data), base64.b64encode(data)


def _noise(count: int) -> bytes:
    """Bytes that do not compress, the same ones each time."""
    return random.Random(count).randbytes(count)


# -- PNG: signature, IHDR, serial as tEXt | palette, pixels, padding chunk, IEND


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_opening(width: int, height: int, serial: int, size: int) -> bytes:
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _png_chunk(b"tEXt", b"Title\0%09d" % serial)


def _png_rest(width: int, height: int, size: int, transparent: bool) -> bytes:
    colours = _png_chunk(b"PLTE", bytes([200, 60, 40, 250, 240, 220]))
    if transparent:
        colours += _png_chunk(b"tRNS", b"\x00")
    row = b"\0" + b"\0" * ((width + 7) // 8)
    pixels = _png_chunk(b"IDAT", zlib.compress(row * height, 9))
    end = _png_chunk(b"IEND", b"")
    wanted = size - len(colours) - len(pixels) - len(end) - 12
    padding = _png_chunk(PADDING, _noise(wanted)) if wanted >= 0 else b""
    return colours + pixels + padding + end


# -- JPEG: SOI, serial as a comment | tables, frame header, padding comments, scan, EOI


def _jpeg_comment(data: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(data) + 2) + data


def _jpeg_opening(width: int, height: int, serial: int, size: int) -> bytes:
    return b"\xff\xd8" + _jpeg_comment(b"%09d" % serial)


def _jpeg_rest(width: int, height: int, size: int, transparent: bool) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height), 96).save(out, "JPEG", quality=50, optimize=True)
    data = out.getvalue()[2:]
    # Before the scan and after the frame header, so that the size in pixels stays near the beginning.
    scan = data.index(b"\xff\xda")
    padding = bytearray()
    while (left := size - len(data) - len(padding)) > 4:
        # A comment holds 65,533 bytes at most; 0xFF is left out so that no marker seems to stand in it.
        padding += _jpeg_comment(_noise(min(left - 4, 65_533)).replace(b"\xff", b"\xfe"))
    return data[:scan] + bytes(padding) + data[scan:]


# -- WebP: RIFF, VP8X, serial chunk | pixels, padding chunk


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _webp_opening(width: int, height: int, serial: int, size: int) -> bytes:
    canvas = struct.pack("<I", 0x10) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBP" + _riff_chunk(b"VP8X", canvas) + _riff_chunk(b"SERL", b"%010d" % serial)


def _webp_rest(width: int, height: int, size: int, transparent: bool) -> bytes:
    out = io.BytesIO()
    colour = (200, 60, 40, 0 if transparent else 255)
    Image.new("RGBA", (width, height), colour).save(out, "WEBP", lossless=True, exact=True)
    data = out.getvalue()
    pixels = data[data.index(b"VP8L") :]
    wanted = (size - len(pixels) - 8) & ~1
    return pixels + (_riff_chunk(b"PADD", _noise(wanted)) if wanted >= 0 else b"")


# -- GIF: header, serial as a comment | frames, padding comment


def _gif_opening(width: int, height: int, serial: int, size: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
    colours = bytes([200, 60, 40, 250, 240, 220])
    return screen + colours + b"\x21\xfe\x0a%010d\0" % serial


def _gif_rest(width: int, height: int, size: int, transparent: bool) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("P", (width, height), index) for index in (0, 1)]
    for frame in frames:
        frame.putpalette([200, 60, 40, 250, 240, 220])
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0, optimize=False)
    data = out.getvalue()
    body = data[13 + 3 * 2 ** ((data[10] & 7) + 1) :] if data[10] & 0x80 else data[13:]
    padding = bytearray()
    while (left := size - len(body) - len(padding)) > 5:
        block = min(left - 4, 255)
        padding += b"\x21\xfe" + bytes([block]) + _noise(block) + b"\0"
    return bytes(padding) + body


# -- SVG: the serial in a comment, the padding in another


def _svg_opening(width: int, height: int, serial: int, size: int) -> bytes:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><!-- {serial:09d} -->'
    return (text + " " * (-len(text) % 3)).encode()


def _svg_rest(width: int, height: int, size: int, transparent: bool) -> bytes:
    body = b'<rect width="60%" height="60%" fill="#c83c28"/></svg>'
    wanted = size - len(body) - 7
    return (b"<!--" + b"." * wanted + b"-->" if wanted >= 0 else b"") + body


_OPENINGS = {
    "png": _png_opening,
    "jpeg": _jpeg_opening,
    "webp": _webp_opening,
    "gif": _gif_opening,
    "svg": _svg_opening,
}
_RESTS = {"png": _png_rest, "jpeg": _jpeg_rest, "webp": _webp_rest, "gif": _gif_rest, "svg": _svg_rest}
