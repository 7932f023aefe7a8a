"""Each format from each other, with and without transparency, cut and padded: real pictures, read again."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from time import process_time

import pytest
from PIL import Image, ImageCms

from gateway.images.conversion import (
    FORMATS,
    MAX_FRAMES,
    Unconvertible,
    can_make,
    convert,
    decoded_pixels,
    is_needed,
)
from gateway.images.fitted import Finish
from gateway.images.look import MAX_PIXELS
from gateway.images.sniff import Picture, judge_bytes, sniff

RED, BLUE, GREEN = (250, 10, 10), (10, 10, 250), (10, 200, 10)


def halves(size: tuple[int, int] = (120, 80), *, right_alpha: int = 255) -> Image.Image:
    """Red on the left; blue on the right, as opaque as asked for."""
    picture = Image.new("RGBA", size, (*RED, 255))
    picture.paste((*BLUE, right_alpha), (size[0] // 2, 0, *size))
    return picture if right_alpha < 255 else picture.convert("RGB")


def written(picture: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    if format == "jpeg" and picture.mode == "RGBA":
        picture = picture.convert("RGB")
    picture.save(out, format.upper(), **options)
    return out.getvalue()


def read(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 24) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def colour_at(picture: Image.Image, x: float, y: float) -> tuple[int, int, int, int]:
    pixel = picture.convert("RGBA").getpixel((int(x * picture.width), int(y * picture.height)))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize(
    ("before", "after", "alpha", "fit"),
    list(itertools.product(FORMATS, FORMATS, (False, True), (None, "cover", "contain"))),
)
def test_every_format_becomes_every_other(before: str, after: str, alpha: bool, fit: str | None) -> None:
    source = written(halves(right_alpha=0 if alpha else 255), before)
    pixels = None if fit is None else (90, 90)
    made = convert(source, Finish(format=after, pixels=pixels, fit=fit))  # type: ignore[arg-type]
    size = pixels or (120, 80)
    assert judge_bytes(made.data[:8192], made.data[-96:], len(made.data)) == Picture(after, *size)
    assert (made.format, made.width, made.height) == (after, *size)
    picture = read(made.data)
    assert (picture.format, picture.size) == (after.upper(), size)
    assert near(colour_at(picture, 0.25, 0.5)[:3], RED)
    right = colour_at(picture, 0.75, 0.5)
    if not alpha or before == "jpeg":
        assert near(right[:3], BLUE)
    elif after == "jpeg":
        assert near(right[:3], (255, 255, 255))
    else:
        assert right[3] == 0
    if fit == "contain":
        above = colour_at(picture, 0.5, 0.05)
        assert near(above[:3], (255, 255, 255)) if after == "jpeg" else above[3] == 0
    if fit == "cover":
        assert near(colour_at(picture, 0.25, 0.02)[:3], RED)


def test_cover_takes_the_middle_and_contain_loses_nothing() -> None:
    thirds = Image.new("RGB", (300, 100), RED)
    thirds.paste(GREEN, (100, 0, 200, 100))
    thirds.paste(BLUE, (200, 0, 300, 100))
    cut = read(convert(written(thirds, "png"), Finish(pixels=(50, 50), fit="cover")).data)
    assert near(colour_at(cut, 0.08, 0.5)[:3], GREEN)
    assert near(colour_at(cut, 0.92, 0.5)[:3], GREEN)
    padded = read(
        convert(written(thirds, "png"), Finish(pixels=(90, 60), fit="contain", background="#0a141e")).data
    )
    assert padded.mode == "RGB"
    assert colour_at(padded, 0.5, 0.1)[:3] == (10, 20, 30)
    assert near(colour_at(padded, 0.05, 0.5)[:3], RED)
    assert near(colour_at(padded, 0.95, 0.5)[:3], BLUE)


@pytest.mark.parametrize("fit", ["cover", "contain"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (333, 77), (1200, 628), (120, 80)])
def test_exact_pixels_come_out_exactly(fit: str, size: tuple[int, int]) -> None:
    made = convert(written(halves(), "png"), Finish(pixels=size, fit=fit))  # type: ignore[arg-type]
    assert read(made.data).size == size == (made.width, made.height)


def test_what_is_transparent_lies_on_the_background_colour_where_there_is_one() -> None:
    source = written(halves(right_alpha=0), "png")
    flat = read(convert(source, Finish(format="jpeg", background="#00ff00")).data)
    assert near(colour_at(flat, 0.75, 0.5)[:3], (0, 255, 0))
    kept = read(convert(source, Finish(format="webp", background="#00ff00")).data)
    assert colour_at(kept, 0.75, 0.5)[3] == 0
    half = read(convert(written(halves(right_alpha=128), "png"), Finish(format="jpeg")).data)
    assert near(colour_at(half, 0.75, 0.5)[:3], (132, 132, 252))


def test_padding_does_not_fill_the_pictures_own_transparency() -> None:
    source = written(halves(right_alpha=0), "png")
    padded = read(
        convert(source, Finish(format="png", pixels=(120, 120), fit="contain", background="#00ff00")).data
    )
    assert colour_at(padded, 0.5, 0.02) == (0, 255, 0, 255)
    assert colour_at(padded, 0.75, 0.5)[3] == 0


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_compression_is_quality_and_100_where_nothing_is_said(format: str) -> None:
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    source = written(noise, "png")
    sizes = [len(convert(source, Finish(format=format, compression=n)).data) for n in (0, 50, 100)]
    assert sizes[0] < sizes[1] < sizes[2] == len(convert(source, Finish(format=format)).data)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_input_gives_the_same_output(format: str) -> None:
    source, finish = (
        written(halves(right_alpha=90), "png"),
        Finish(format=format, pixels=(64, 64), fit="cover"),
    )
    assert convert(source, finish) == convert(source, finish)


def test_pictures_are_turned_upright_and_lose_their_tags() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    source = written(halves(), "jpeg", exif=exif)
    made = convert(source, Finish(format="png"))
    picture = read(made.data)
    assert (made.width, made.height) == picture.size == (80, 120)
    assert near(colour_at(picture, 0.5, 0.25)[:3], RED)
    assert dict(picture.getexif()) == {}
    assert b"secret" not in made.data


def test_colours_are_brought_into_srgb_by_their_profile() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = convert(written(halves(), "png"), Finish(format="webp"))
    assert convert(written(halves(), "png", icc_profile=own), Finish(format="webp")) == plain
    # A profile of another space than the pixels, and one that is none, count as none.
    assert convert(written(halves(), "png", icc_profile=lab.tobytes()), Finish(format="webp")) == plain
    assert convert(written(halves(), "png", icc_profile=b"no profile"), Finish(format="webp")) == plain
    # One in which red and green changed places.
    swapped = own.replace(b"rXYZ", b"wXYZ").replace(b"gXYZ", b"rXYZ").replace(b"wXYZ", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be")).replace(
        b"sRGB", b"odd!"
    )
    for alpha in (255, 0):
        source = written(halves(right_alpha=alpha), "png", icc_profile=swapped)
        made = read(convert(source, Finish(format="png")).data)
        assert "icc_profile" not in made.info
        assert colour_at(made, 0.25, 0.5)[1] > 200 > colour_at(made, 0.25, 0.5)[0]
        assert colour_at(made, 0.75, 0.5)[3] == alpha


def test_other_kinds_of_pixels_come_out_as_they_look() -> None:
    grey = Image.linear_gradient("L").resize((64, 64))
    deep = Image.new("I;16", (4, 4), 0x8000)
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    palette = halves().quantize(4)
    assert near(
        colour_at(read(convert(written(grey, "png"), Finish(format="webp")).data), 0.5, 0.9),
        (230, 230, 230, 255),
    )
    assert colour_at(read(convert(written(deep, "png"), Finish(format="webp")).data), 0.5, 0.5)[0] in range(
        126, 131
    )
    assert near(
        colour_at(read(convert(written(cmyk, "jpeg"), Finish(format="png")).data), 0.5, 0.5)[:3],
        (255, 0, 0),
        40,
    )
    assert near(
        colour_at(read(convert(written(palette, "png"), Finish(format="jpeg")).data), 0.9, 0.5)[:3], BLUE
    )


@pytest.mark.parametrize("after", FORMATS)
@pytest.mark.parametrize("before", ["gif", "webp", "avif"])
def test_animations_keep_their_frames_where_the_format_has_them(before: str, after: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]
    source = written(
        frames[0], before, save_all=True, append_images=frames[1:], duration=[80, 90, 100], loop=0
    )
    made = convert(source, Finish(format=after, pixels=(20, 30), fit="cover"))
    picture = Image.open(io.BytesIO(made.data))
    assert picture.size == (20, 30)
    if after in ("png", "jpeg"):
        assert getattr(picture, "n_frames", 1) == 1
        assert near(colour_at(picture, 0.5, 0.5)[:3], RED)
        return
    assert picture.n_frames == 3  # type: ignore[attr-defined]
    for index, colour in enumerate((RED, GREEN, BLUE)):
        picture.seek(index)
        assert near(colour_at(picture, 0.5, 0.5)[:3], colour)
        assert picture.info["duration"] == (80, 90, 100)[index]


def bomb(format: str, width: int, height: int) -> bytes:
    """A small file whose header claims a large picture."""
    if format == "png":
        chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = zlib.compress(bytes(100_000))
        body = b"IDAT" + data
        return b"".join(
            [b"\x89PNG\r\n\x1a\n", struct.pack(">I", 13), chunk, struct.pack(">I", zlib.crc32(chunk)),
             struct.pack(">I", len(data)), body, struct.pack(">I", zlib.crc32(body)),
             b"\x00\x00\x00\x00IEND\xaeB`\x82"]
        )  # fmt: skip
    data = bytearray(written(Image.new("RGB", (16, 16)), format))
    if format == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif format == "jpeg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif format == "avif":
        at = data.index(b"ispe")
        data[at + 8 : at + 16] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize("format", ["png", "gif", "jpeg", "avif"])
def test_bombs_are_refused_from_the_header(format: str) -> None:
    source = bomb(format, 30_000, 30_000)
    assert sniff(source).size == "30000x30000"
    began = process_time()
    with pytest.raises(Unconvertible, match="pixels"):
        convert(source, Finish(format="png"))
    assert process_time() - began < 1  # what is read is a header


def test_too_many_frames_are_refused_before_they_are_decoded() -> None:
    frames = [Image.new("RGB", (2, 2), (index % 256, 0, index // 256)) for index in range(MAX_FRAMES + 2)]
    source = written(frames[0], "gif", save_all=True, append_images=frames[1:], duration=10)
    with pytest.raises(Unconvertible, match="frames"):
        convert(source, Finish(format="webp"))
    assert convert(source, Finish(format="png")).width == 2


@pytest.mark.parametrize("size", [(99_999, 99_999), (70_000, 1), (8_001, 8_000)])
def test_targets_beyond_the_caps_are_refused(size: tuple[int, int]) -> None:
    assert not can_make("jpeg", *size)
    with pytest.raises(Unconvertible):
        convert(written(halves(), "png"), Finish(format="jpeg", pixels=size, fit="cover"))


def test_what_is_no_picture_or_a_broken_one_is_told_so() -> None:
    png = written(Image.effect_noise((300, 300), 50), "png")
    for wrong in (b"", b"text", b"<svg></svg>", png[: len(png) // 2], png[:40] + bytes(100)):
        with pytest.raises(Unconvertible):
            convert(wrong, Finish(format="webp"))


def test_only_what_changes_a_picture_is_needed() -> None:
    png = Picture("png", 64, 32)
    assert not is_needed(png, Finish())
    assert not is_needed(png, Finish(format="png"))
    assert not is_needed(png, Finish(pixels=(64, 32), fit="cover"))
    assert is_needed(png, Finish(format="webp"))
    assert is_needed(png, Finish(pixels=(32, 64), fit="cover"))
    assert is_needed(Picture("jpeg", 64, 32), Finish(format="jpeg", compression=50))
    assert not is_needed(Picture("svg", None, None), Finish(format="png", pixels=(5, 5)))
    assert decoded_pixels(png, Finish(pixels=(10, 10))) == 64 * 32 + 100
    assert decoded_pixels(Picture("jpeg", None, None), Finish()) == MAX_PIXELS
