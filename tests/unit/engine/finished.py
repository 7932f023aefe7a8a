"""Answers, stores and fetchers for tests of what becomes of pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random
from time import perf_counter

from PIL import Image

from gateway.engine.conversions import Conversions
from gateway.engine.pictures import Order, Pictures
from gateway.engine.whole import Whole, receive_whole
from gateway.images.fitted import Finish
from gateway.media.composed import Body
from gateway.media.shelf import MediaFailed
from gateway.media.spool import SpoolRoom
from gateway.media.store import Stored
from providers.base import ImageResult
from providers.guarded import FetchFailed, Reason

USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 5},
    "output_tokens": 100,
    "total_tokens": 105,
}


def drawn(format: str = "png", size: tuple[int, int] = (64, 48), *, noise: bool = True) -> bytes:
    """A real picture, the same each time; ``noise`` makes it too large to stay in an answer's skeleton."""
    width, height = size
    if noise:
        picture = Image.frombytes("RGB", size, Random(width).randbytes(3 * width * height))
    else:
        picture = Image.new("RGB", size, (9, 9, 200))
    out = io.BytesIO()
    picture.save(out, format.upper(), **({"quality": 95} if format == "jpeg" else {}))
    return out.getvalue()


def item(picture: bytes, **more: object) -> dict[str, object]:
    return {"b64_json": base64.b64encode(picture).decode(), **more}


def document(*items: Mapping[str, object], **more: object) -> dict[str, object]:
    said = {"created": 1, "background": "opaque", "data": list(items), "output_format": "png",
            "quality": "low", "size": "64x48", "usage": USAGE}  # fmt: skip
    return {key: value for key, value in {**said, **more}.items() if value is not None}


def result(body: bytes, content_type: str = "application/json", step: int = 4096) -> ImageResult:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    async def aclose() -> None:
        pass

    return ImageResult(chunks(), aclose, content_type)


def raw(answer: Mapping[str, object], *, slashes: bool = False) -> bytes:
    text = json.dumps(answer)
    return (text.replace("/", "\\/") if slashes else text).encode()


async def received(room: SpoolRoom, answer: Mapping[str, object] | bytes) -> Whole:
    body = answer if isinstance(answer, bytes) else raw(answer)
    return await receive_whole(result(body), room, provider="here", prompt="")


async def read(body: Body) -> bytes:
    data = b"".join([chunk async for chunk in body.chunks()])
    assert len(data) == body.size
    body.close()
    return data


def picture_in(entry: Mapping[str, str]) -> Image.Image:
    made = Image.open(io.BytesIO(base64.b64decode(entry["b64_json"], validate=True)))
    made.load()
    return made


class Shelves:
    """A media store in memory."""

    def __init__(self, *, full: bool = False) -> None:
        self.kept: dict[str, tuple[str, bytes, str]] = {}
        self._full = full

    async def put(self, chunks: AsyncIterator[bytes], format: str, *, request_id: str) -> Stored:
        data = b"".join([chunk async for chunk in chunks])
        if self._full:
            raise MediaFailed("full")
        id = f"{len(self.kept)}.{format}"
        self.kept[id] = (format, data, request_id)
        return Stored(id, len(data))

    async def link(self, id: str, base_url: str, *, now: datetime) -> str:
        return f"{base_url}/media/{id}"


class Web:
    """Pictures behind links."""

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self._pages = pages

    @asynccontextmanager
    async def fetch(
        self, url: str, *, seconds: float, also: Collection[str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if url not in self._pages:
            raise FetchFailed(Reason.FORBIDDEN, "its host has no public address")

        async def chunks() -> AsyncIterator[bytes]:
            page = self._pages[url]
            for at in range(0, len(page), 1000):
                yield page[at : at + 1000]

        yield chunks()


def pictures(
    room: SpoolRoom,
    media: Shelves | None = None,
    web: Mapping[str, bytes] | None = None,
    *,
    pass_on: bool = False,
) -> Pictures:
    return Pictures(room, Conversions(2), media, None if web is None else Web(web), pass_on=pass_on)


def order(
    finish: Finish | None = None, *, as_url: bool = False, strict: bool = False, seconds: float = 20.0
) -> Order:
    return Order("req_1", perf_counter() + seconds, finish, as_url, "https://images.example", strict)


def sizes(told: Sequence[object]) -> list[str | None]:
    return [getattr(picture, "size", None) for picture in told]
