"""Every parameter that gpt-image-2's users know, on every model that can serve or emulate it.

OpenAI's and Azure's models are the fake upstream's, which refuses what they refuse; the rest is the sandbox.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from tests.contract.gateway_here import PROJECT, Here, gateway_here
from tests.simulators.openai_upstream import Upstream

MODELS = {
    "gpt-image-2.6-flare": {"provider": "openai"},
    "gpt-image-2.5-sunburst": {"provider": "openai"},
    "gpt-image-2": {"provider": "openai"},
    "gpt-image-1.5": {"provider": "openai"},
    "gpt-image-1-mini": {"provider": "openai"},
    "chatgpt-image-latest": {"provider": "openai"},
    "on-azure": {"provider": "azure", "model": "img2-prod", "catalog": "gpt-image-2"},
    "sandbox": {"provider": "sandbox"},
}
NAMES = [*MODELS, "dall-e-3", "gpt-image-1"]
"""The last two are retired; gpt-image-2 serves them."""

FORMATS = ("png", "jpeg", "webp", "gif", "avif")

Fields = dict[str, Any]
BOTH: dict[str, Fields] = {
    "pixels": {"size": "1024x1536"},
    "pixels of no model": {"size": "1000x1000"},
    "a ratio as size": {"size": "3:2"},
    "aspect_ratio": {"aspect_ratio": "16:9"},
    "resolution 1K": {"resolution": "1K"},
    "resolution 4K": {"resolution": "4K", "quality": "low"},
    "ratio and resolution": {"aspect_ratio": "9:16", "resolution": "2K"},
    "url": {"response_format": "url"},
    "b64_json": {"response_format": "b64_json"},
    **{f"output_format {form}": {"output_format": form} for form in FORMATS},
    **{
        f"{form} compressed": {"output_format": form, "output_compression": 40}
        for form in ("jpeg", "webp", "avif")
    },
    "n": {"n": 2},
    "opaque": {"background": "opaque"},
    "moderation": {"moderation": "low"},
    "user": {"user": "somebody"},
}
GENERATIONS = {**BOTH, **{f"quality {level}": {"quality": level} for level in ("low", "medium", "high")}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Here]:
    folder = tmp_path_factory.mktemp("card")
    async with Upstream() as upstream:
        (folder / "openai").write_text(upstream.key)
        (folder / "azure").write_text(upstream.azure_key)
        document = {
            "providers": {
                "openai": {"type": "openai", "base_url": upstream.base_url, "api_key": "file:openai"},
                "azure": {"type": "azure-openai", "base_url": upstream.origin, "api_key": "file:azure"},
                "sandbox": {"type": "sandbox", "latency": 0},
            },
            "models": {name: {"targets": [target]} for name, target in MODELS.items()},
            "normalization": {"legacy_models": "gpt-image-2"},
        }
        config = "\n".join(f"{key}: {json.dumps(value)}" for key, value in document.items())
        async with gateway_here(f"{config}\n{PROJECT}\n", folder) as running:
            yield running


@pytest.mark.parametrize("parameter", GENERATIONS)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_parameter_of_generations_works_on_every_model(here: Here, parameter: str) -> None:
    async def ask(model: str) -> httpx.Response:
        body = {"model": model, "prompt": "a red kite", **GENERATIONS[parameter]}
        return await here.client.post("/openai/v1/images/generations", json=body)

    assert await faults(here, GENERATIONS[parameter], ask) == {}


@pytest.mark.parametrize("parameter", BOTH)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_parameter_of_edits_works_on_every_model(here: Here, parameter: str) -> None:
    async def ask(model: str) -> httpx.Response:
        data = {name: str(value) for name, value in BOTH[parameter].items()}
        data |= {"model": model, "prompt": "a red kite"}
        files = [("image", ("source.png", SOURCE, "image/png"))]
        return await here.client.post("/openai/v1/images/edits", data=data, files=files)

    assert await faults(here, BOTH[parameter], ask) == {}


def png(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (40, 90, 160)).save(out, "PNG")
    return out.getvalue()


SOURCE = png((1024, 1024))


async def faults(
    here: Here, asked: Fields, ask: Callable[[str], Awaitable[httpx.Response]]
) -> dict[str, str]:
    """What is wrong with the answers, by model."""

    async def fault(model: str) -> str | None:
        try:
            await check(here, asked, await ask(model))
        except AssertionError as wrong:
            return str(wrong).partition("\nassert")[0]
        return None

    found = dict(zip(NAMES, await asyncio.gather(*map(fault, NAMES)), strict=True))
    return {model: wrong for model, wrong in found.items() if wrong is not None}


async def check(here: Here, asked: Fields, answer: httpx.Response) -> None:
    """As many pictures as asked for, delivered as asked, in the format that was asked for, and the size that
    the answer itself says."""
    assert answer.status_code == 200, answer.text[:500]
    document = answer.json()
    assert len(document["data"]) == asked.get("n", 1), "another number of pictures"
    for item in document["data"]:
        if asked.get("response_format", "url") == "url":
            assert list(item) == ["url"], f"not a link: {list(item)}"
            content = (await here.client.get(item["url"], headers={"authorization": ""})).content
        else:
            assert list(item) == ["b64_json"], f"not base64: {list(item)}"
            content = base64.b64decode(item["b64_json"], validate=True)
        image = Image.open(io.BytesIO(content))
        image.load()
        assert (image.format or "").lower() == asked.get("output_format", "png"), f"it is {image.format}"
        assert f"{image.width}x{image.height}" == document["size"], f"{image.size}, not {document['size']}"
        assert f'received="{document["size"]}"' in answer.headers["x-imagegate-size"]
