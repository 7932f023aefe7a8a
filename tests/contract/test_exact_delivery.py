"""Formats, pixels and links that the target does not make, over HTTP: what was asked for is what comes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from tests.contract.gateway_here import Here, gateway_here
from tests.contract.upstreams_here import config
from tests.property.test_served import dictionary, listing
from tests.simulators.openai_upstream import Upstream

PNG_ONLY = '\ncatalog: [{"id": "gpt-image-2", "output_formats": ["png"], "max_n": 1}]'
FORMATS = ["png", "jpeg", "webp", "gif", "avif"]


@pytest_asyncio.fixture
async def here(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream) + PNG_ONLY, tmp_path) as running:
        yield running


async def asked(here: Here, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    body = {"model": "gpt-image-2", "prompt": "a red kite", "quality": "low", **fields}
    response = await here.client.post("/v1/images/generations", json=body, headers=headers or {})
    assert response.status_code == 200, response.text
    return response


def picture(data: bytes) -> Image.Image:
    made = Image.open(io.BytesIO(data))
    made.load()
    return made


@pytest.mark.parametrize("fit", ["cover", "contain"])
@pytest.mark.parametrize("format", FORMATS)
async def test_a_banner_comes_in_exactly_its_pixels_and_format(here: Here, format: str, fit: str) -> None:
    response = await asked(here, size="1200x628", fit=fit, output_format=format)
    document = response.json()
    made = picture(base64.b64decode(document["data"][0]["b64_json"]))
    assert (made.format, made.size) == (format.upper(), (1200, 628))
    assert (document["output_format"], document["size"]) == (format, "1200x628")
    told = dictionary(response.headers["x-imagegate-size"])
    assert (told["sent"], told["received"]) == ("1200x624", "1200x628")
    adjusted = {each["field"]: each["how"] for each in listing(response.headers["x-imagegate-adjustments"])}
    assert adjusted.pop("fit") == "emulated"
    assert adjusted == ({} if format == "png" else {"output_format": "emulated"})


async def test_several_calls_come_as_one_document_of_converted_pictures(
    here: Here, upstream: Upstream
) -> None:
    document = (
        await asked(here, {"x-imagegate-report": "body"}, n=3, output_format="webp", size="1024x1024")
    ).json()
    assert len(upstream.images) == 3
    pictures = [picture(base64.b64decode(each["b64_json"])) for each in document["data"]]
    assert [(made.format, made.size) for made in pictures] == [("WEBP", (1024, 1024))] * 3
    assert document["usage"]["output_tokens"] == 3 * 196
    assert document["imagegate"]["size"]["received"] == "1024x1024"


async def test_links_lead_to_the_converted_pictures(here: Here) -> None:
    document = (await asked(here, n=2, response_format="url", output_format="jpeg", size="1024x1024")).json()
    for each in document["data"]:
        assert "b64_json" not in each
        got = await here.client.get(each["url"])
        assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
        assert picture(got.content).size == (1024, 1024)


async def test_streams_of_converted_pictures(here: Here) -> None:
    response = await asked(
        here, {"x-imagegate-report": "body"}, stream=True, output_format="webp", size="1024x640"
    )
    events = [
        json.loads(line.removeprefix("data: "))
        for line in response.text.splitlines()
        if line.startswith("data: ")
    ]
    completed = [event for event in events if event["type"] == "image_generation.completed"]
    (event,) = completed
    made = picture(base64.b64decode(event["b64_json"]))
    assert (made.format, made.size, event["size"], event["output_format"]) == (
        "WEBP", (1024, 640), "1024x640", "webp"
    )  # fmt: skip
    assert list(event)[-1] == "imagegate"


async def test_transparency_lies_on_the_background_colour_in_a_jpeg(here: Here) -> None:
    document = (
        await asked(here, output_format="jpeg", size="1200x628", fit="contain", background="#102030")
    ).json()
    corner = picture(base64.b64decode(document["data"][0]["b64_json"])).getpixel((600, 0))
    assert isinstance(corner, tuple)
    assert all(abs(one - other) < 12 for one, other in zip(corner, (0x10, 0x20, 0x30), strict=True))
