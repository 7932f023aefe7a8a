"""Sizes of input pictures, told from their first bytes."""

from __future__ import annotations

import base64
import io

import pytest

from gateway.images.call import UNSEEN, InputSize
from gateway.images.input_sizes import input_sizes
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
    assert input_sizes(edit, [mask, image]) == (InputSize(800, 600), InputSize(800, 600), InputSize(640, 600))


def test_a_data_url_is_looked_into_and_an_https_url_is_not() -> None:
    data = InputRef("data:image/png;base64," + base64.b64encode(PNG + b"\0" * 200_000).decode())
    assert input_sizes(call(images=[data, URL])) == (InputSize(800, 600), UNSEEN)


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png,abc",
        "data:image/png;base64,AAAA",
    ],
)
def test_what_cannot_be_seen_is_unseen(url: str) -> None:
    assert input_sizes(call(images=[InputRef(url)])) == (UNSEEN,)


def test_a_file_that_nobody_looked_at_is_unseen() -> None:
    assert input_sizes(call(images=[raw("image", PNG).file])) == (UNSEEN,)


def test_a_generation_has_no_inputs() -> None:
    assert input_sizes(call()) == ()
