"""What a file is, from its structure alone; bombs of every kind seen before anything is decoded."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import InvalidRequest
from gateway.images import inputs
from gateway.images.look import (
    MAX_FRAMES,
    MAX_PIXELS,
    Read,
    is_bomb,
    look,
    of_base64,
    of_file,
    orientation_in,
)
from gateway.images.raw import RawFile
from gateway.images.sniff import Picture
from providers.base import InputFile


def made(format: str, size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, format, **options)
    return out.getvalue()


def seen(data: bytes) -> Picture:
    return look(of_file(io.BytesIO(data)), len(data))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def png(width: int, height: int, *more: tuple[bytes, bytes], rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, payload: bytes) -> bytes:
        return (
            struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *more, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, payload) for kind, payload in parts)


def bomb() -> bytes:
    """30,000 × 30,000 pixels of one bit, in about 109 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 30_000 // 8)
    packed = b"".join(packer.compress(row) for _ in range(30_000)) + packer.flush()
    return png(30_000, 30_000, rows=packed)


def gif(frames: int, width: int, height: int) -> bytes:
    whole = made("GIF", (1, 1))
    start = whole.index(b"\x2c", 13)
    head = bytearray(whole[:start])
    struct.pack_into("<HH", head, 6, width, height)
    return bytes(head) + whole[start:-1] * frames + b";"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize("size", [(1, 1), (30, 20), (700, 1300)])
def test_every_format_tells_its_size(format: str, size: tuple[int, int]) -> None:
    assert seen(made(format, size)) == Picture(format.lower(), *size)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_on_its_side_is_seen_upright(format: str, orientation: int) -> None:
    picture = seen(made(format, (30, 20), exif=turned(orientation)))
    assert (picture.width, picture.height) == (30, 20)
    assert picture.upright == ((20, 30) if orientation >= 5 else (30, 20))


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_exif_are_read(order: str) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    other, wanted = ((tag, 3, 1, value) for tag, value in ((0x0100, 3), (0x0112, 8)))
    entries = b"".join(struct.pack(f"{order}HHIHxx", *entry) for entry in (other, wanted))
    assert orientation_in(start + struct.pack(f"{order}IH", 8, 2) + entries) == 8
    assert orientation_in(start + struct.pack(f"{order}IH", 8, 2) + entries[:12]) == 1
    assert orientation_in(start + struct.pack(f"{order}I", 2**31)) == 1


def test_a_jpeg_whose_size_stands_after_long_metadata_is_seen() -> None:
    data = made("JPEG", icc_profile=bytes(200_000))
    assert seen(data) == Picture("jpeg", 30, 20)
    assert seen(data[:150_000]).size is None


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_frames_of_an_animation_are_counted(format: str) -> None:
    frames = [Image.new("RGB", (30, 20), (number * 20, 255 - number * 20, 0)) for number in range(12)]
    out = io.BytesIO()
    frames[0].save(out, format, save_all=True, append_images=frames[1:], duration=100)
    assert seen(out.getvalue()).frames == 12
    assert not is_bomb(seen(out.getvalue()))


def test_f07_a_small_file_that_claims_900_megapixels_is_refused() -> None:
    data = bomb()
    assert len(data) < 120_000
    assert seen(data).size == "30000x30000"
    raw = RawFile("image", InputFile("a.png", "image/png", len(data), lambda: io.BytesIO(data)), seen(data))
    with pytest.raises(InvalidRequest) as refused:
        inputs.check_file(raw, "image")
    assert (refused.value.code, refused.value.param, refused.value.status) == (
        "image_too_large",
        "image",
        400,
    )
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    with pytest.raises(InvalidRequest) as refused:
        inputs.check_ref({"image_url": url}, "images[0]")
    assert (refused.value.code, refused.value.param) == ("image_too_large", "images[0].image_url")


@pytest.mark.parametrize(
    "data",
    [
        gif(200_000, 1000, 1000),
        gif(1, 1, 1).replace(b"\x2c\0\0\0\0\1\0\1\0", b"\x2c\0\0\0\0\xff\xff\xff\xff"),
        png(30_000, 30_000, (b"acTL", bytes(8))),
        png(1000, 1000, (b"acTL", struct.pack(">II", 1000, 0))),
        gif(MAX_FRAMES + 1, 2, 2),
        gif(1, 2, 2)[:-2] + b"\1a" * 500_000,
        b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(10) + b"JUNK\0\0\0\0" * 30_000,
        png(0xFFFFFFFF, 0xFFFFFFFF),
    ],
    ids=["gif", "gif-frame", "apng-of-none", "apng", "gif-many", "gif-blocks", "webp-chunks", "png"],
)
def test_f07_bombs_of_frames_and_of_lies_are_seen(data: bytes) -> None:
    assert is_bomb(seen(data))


def test_a_bomb_in_a_grid_of_small_tiles_is_seen() -> None:
    data = made("AVIF", (64, 64))
    grid = data + b"\0\0\0\x14ispe" + struct.pack(">III", 0, 60_000, 60_000)
    assert is_bomb(seen(grid))


def test_as_many_pixels_as_are_allowed_are_no_bomb() -> None:
    assert not is_bomb(Picture("png", MAX_PIXELS, 1))
    assert is_bomb(Picture("png", MAX_PIXELS + 1, 1))
    assert is_bomb(Picture("gif", MAX_PIXELS, 1, frames=2))
    assert not is_bomb(Picture("svg", None, None))


@pytest.mark.parametrize(
    "data",
    [b"<svg xmlns='x'/>", b"<?xml version='1.0'?><svg/>", b"\xef\xbb\xbf\n<svg/>", b"<!-- a -->\n<svg/>"],
)
def test_svg_is_known_by_its_text(data: bytes) -> None:
    assert seen(data) == Picture("svg", None, None)


def test_few_bytes_of_a_large_file_are_read() -> None:
    data, read = made("JPEG", icc_profile=bytes(60_000)) + bytes(1 << 20), 0

    def counted(at: int, count: int) -> bytes:
        nonlocal read
        read += count
        return data[at : at + count]

    assert look(counted, len(data)).size == "30x20"
    assert read < 80_000


@given(st.binary(max_size=200), st.integers(0, 210), st.integers(0, 60))
def test_base64_is_read_as_the_bytes_it_holds(data: bytes, at: int, count: int) -> None:
    text = "data:x;base64," + base64.b64encode(data).decode()
    read, size = of_base64(text, text.index(",") + 1)
    assert size == len(data)
    assert read(at, count) == data[at : at + count]
    assert of_file(io.BytesIO(data))(at, count) == data[at : at + count]


HEADS = [made(format, (30, 20))[:400] for format in ("PNG", "JPEG", "WEBP", "GIF", "AVIF")]


@given(
    st.sampled_from(HEADS),
    st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_no_damage_makes_it_fail(head: bytes, damage: list[tuple[int, int]], length: int) -> None:
    data = bytearray(head)
    for place, value in damage:
        data[place % len(data)] = value
    cut = bytes(data[:length])
    reads = 0

    def counted(at: int, count: int) -> bytes:
        nonlocal reads
        reads += 1
        return cut[at : at + count]

    reader: Read = counted
    picture = look(reader, len(cut))
    assert picture.frames >= 0
    assert reads < 1000


@pytest.mark.parametrize(
    ("brands", "format"),
    [
        (b"heic\0\0\0\0mif1heic", "heic"),
        (b"mif1\0\0\0\0mif1heicmiaf", "heic"),
        (b"mif1\0\0\0\0mif1miafavif", "avif"),
        (b"avif\0\0\0\0mif1miaf", "avif"),
        (b"mif1\0\0\0\0", "avif"),
        (b"isom\0\0\0\0mp41", None),
    ],
)
def test_a_phones_picture_is_told_from_avif_by_its_brands(brands: bytes, format: str | None) -> None:
    box = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands
    size = b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", 4032, 3024)
    picture = seen(box + size)
    assert picture.format == format
    assert picture.size == (None if format is None else "4032x3024")
