"""Input pictures of a model that takes small ones only."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from providers.base import Certainty, InputFile, Kind, ProviderError
from providers.shrinking import shrunk
from tests.unit.providers.wire import picture_file


def file_of(picture: Image.Image, format: str, **options: object) -> InputFile:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return picture_file(out.getvalue(), f"a.{format.lower()}", f"image/{format.lower()}")


def opened(file: InputFile) -> Image.Image:
    with file.open() as handle:
        data = handle.read()
    assert len(data) == file.size
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
async def test_a_large_picture_is_made_small_and_a_small_one_stays(format: str) -> None:
    small = await shrunk(file_of(Image.new("RGB", (1600, 1200), "red"), format), 511)
    assert (opened(small).size, small.content_type, small.filename) == ((511, 383), "image/png", "a.png")
    asis = file_of(Image.new("RGB", (511, 300)), format)
    assert await shrunk(asis, 511) is asis


async def test_a_turned_picture_stands_upright_and_transparency_stays() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = await shrunk(file_of(Image.new("RGB", (1000, 600)), "JPEG", exif=exif), 500)
    assert opened(turned).size == (300, 500)
    clear = await shrunk(file_of(Image.new("RGBA", (1000, 600), (255, 0, 0, 0)), "PNG"), 500)
    assert opened(clear).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
async def test_what_is_no_picture_is_the_callers_fault(data: bytes) -> None:
    with pytest.raises(ProviderError) as failed:
        await shrunk(picture_file(data), 511)
    assert (failed.value.kind, failed.value.certainty) == (Kind.INVALID, Certainty.NOT_SENT)


async def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = file_of(Image.new("1", (8_500, 8_500)), "PNG")
    assert bomb.size < 100_000
    with pytest.raises(ProviderError) as failed:
        await shrunk(bomb, 511)
    assert failed.value.code == "unsupported_image"
