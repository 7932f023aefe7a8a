"""OpenAI's masks in the words of others, and inputs turned upright."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gateway.images.masks import MaskUnusable, orient, to_polarity

SIZE = (40, 20)


def png(picture: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def mask(left: int = 0, right: int = 255) -> bytes:
    """Left and right half with these alphas: 0 is to be edited."""
    picture = Image.new("RGBA", SIZE, (9, 9, 9, right))
    picture.paste((9, 9, 9, left), (0, 0, SIZE[0] // 2, SIZE[1]))
    return png(picture)


def read(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_transparent_becomes_white_or_black() -> None:
    white, black = read(to_polarity(mask(), "white")), read(to_polarity(mask(), "black"))
    assert white.mode == black.mode == "L"
    assert (white.getpixel((0, 0)), white.getpixel((39, 0))) == (255, 0)
    assert (black.getpixel((0, 0)), black.getpixel((39, 0))) == (0, 255)


def test_alpha_is_opaque_where_it_is_edited() -> None:
    turned = read(to_polarity(mask(), "alpha")).getchannel("A")
    assert (turned.getpixel((0, 0)), turned.getpixel((39, 0))) == (255, 0)


def test_a_mask_that_is_right_stays_as_it_came() -> None:
    assert to_polarity(mask(), "transparent") == mask()
    assert to_polarity(mask(), "transparent", SIZE) == mask()


@pytest.mark.parametrize("polarity", ["transparent", "white", "black", "alpha"])
def test_it_is_scaled_to_the_first_picture_without_shades(polarity: str) -> None:
    made = read(to_polarity(mask(), polarity, (97, 61)))  # type: ignore[arg-type]
    assert made.size == (97, 61)
    marks = made.getchannel("A") if made.mode == "RGBA" else made
    assert {value for _, value in marks.getcolors() or []} == {0, 255}
    edited = marks.getpixel((10, 30))
    assert edited == (0 if polarity in ("transparent", "black") else 255) != marks.getpixel((90, 30))


def test_soft_edges_become_one_side_or_the_other() -> None:
    made = read(to_polarity(mask(left=127, right=128), "white"))
    assert (made.getpixel((0, 0)), made.getpixel((39, 0))) == (255, 0)


def test_a_palette_with_a_transparent_colour_is_a_mask_too() -> None:
    picture = Image.new("P", SIZE, 0)
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.paste(1, (20, 0, 40, 20))
    made = read(to_polarity(png(picture, transparency=0), "white"))
    assert (made.getpixel((0, 0)), made.getpixel((39, 0))) == (255, 0)


def test_what_is_no_mask_is_told_so() -> None:
    with pytest.raises(MaskUnusable, match="alpha channel"):
        to_polarity(png(Image.new("RGB", SIZE)), "white")
    with pytest.raises(MaskUnusable):
        to_polarity(b"no picture", "black")
    with pytest.raises(MaskUnusable):
        to_polarity(mask()[:60], "white")


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_inputs_are_turned_upright_in_their_own_format(format: str) -> None:
    picture = Image.new("RGB", SIZE, (250, 10, 10))
    picture.paste((10, 10, 250), (20, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture.save(out, format.upper(), exif=exif)
    upright = read(orient(out.getvalue()))
    assert upright.format == format.upper()
    assert upright.size == (20, 40)
    assert upright.getexif().get(0x0112, 1) == 1
    top, bottom = upright.getpixel((10, 5)), upright.getpixel((10, 35))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > bottom[0]


def test_an_input_that_is_upright_stays_as_it_came() -> None:
    assert orient(mask()) == mask()
