"""Sizes of input pictures, told from their first bytes."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from gateway.images.call import UNSEEN, InputSize
from gateway.images.input_sizes import input_sizes
from gateway.images.look import look, of_file
from gateway.images.raw import RawFile
from gateway.images.sniff import sniff
from providers.base import InputFile, InputRef
from tests.unit.images.priced import URL, call

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (800).to_bytes(4, "big") + (600).to_bytes(4, "big") + b"\x08\x06"
)


def raw(part: str, data: bytes) -> RawFile:
    file = InputFile(f"{part}.png", "image/png", len(data), lambda: io.BytesIO(data))
    return RawFile(part, file, sniff(data))


def test_files_are_as_large_as_their_heads_say_mask_last() -> None:
    image, mask = (
        raw("image", PNG),
        raw("mask", PNG.replace((800).to_bytes(4, "big"), (640).to_bytes(4, "big"))),
    )
    edit = call(images=[image.file, image.file], mask=mask.file)
    assert input_sizes(edit, [mask, image]) == (
        InputSize(800, 600, "png"),
        InputSize(800, 600, "png"),
        InputSize(640, 600, "png"),
    )


def test_a_data_url_is_looked_into_and_an_https_url_is_not() -> None:
    data = InputRef("data:image/png;base64," + base64.b64encode(PNG + b"\0" * 200_000).decode())
    assert input_sizes(call(images=[data, URL])) == (InputSize(800, 600, "png"), UNSEEN)


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,", "data:image/png;base64,!!!!", "data:image/png;base64,AAAA"]
)
def test_what_is_no_picture_has_no_size_and_no_format(url: str) -> None:
    assert input_sizes(call(images=[InputRef(url)])) == (InputSize(format=""),)


def test_a_data_url_without_base64_is_unseen() -> None:
    assert input_sizes(call(images=[InputRef("data:image/png,abc")])) == (UNSEEN,)


def test_a_picture_on_its_side_is_as_large_as_it_is_seen() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    file = InputFile("a.jpeg", "image/jpeg", out.tell(), lambda: io.BytesIO(out.getvalue()))
    turned = RawFile("image", file, look(of_file(io.BytesIO(out.getvalue())), out.tell()))
    url = InputRef("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode())
    assert input_sizes(call(images=[file, url]), [turned]) == (InputSize(20, 40, "jpeg", turned=True),) * 2


def test_a_file_that_nobody_looked_at_is_unseen() -> None:
    assert input_sizes(call(images=[raw("image", PNG).file])) == (UNSEEN,)


def test_a_generation_has_no_inputs() -> None:
    assert input_sizes(call()) == ()
