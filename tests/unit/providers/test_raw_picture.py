"""A picture that comes as bytes is the same document as one that comes as base64, wherever chunks end."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest

from providers.raw_picture import raw_as_openai

DATA = bytes(range(256)) * 5


@pytest.mark.parametrize("step", [1, 2, 3, 4, 1000, 5000])
@pytest.mark.parametrize("length", [1, 2, 3, 1278, 1279, 1280])
async def test_the_encoding_is_exact(step: int, length: int) -> None:
    data = DATA[:length]

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, length, step):
            yield data[start : start + step]
            yield b""

    document = json.loads(b"".join([piece async for piece in raw_as_openai(body())]))
    assert document["data"] == [{"b64_json": base64.b64encode(data).decode()}]


async def test_nothing_is_no_picture() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b""

    assert json.loads(b"".join([piece async for piece in raw_as_openai(body())]))["data"] == []
