"""Callers send OpenAI's masks; each target gets one that it can read, and the caller is told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contract.gateway_here import Here, gateway_here
from tests.contract.upstreams_here import config
from tests.property.test_served import listing
from tests.simulators.openai_upstream import Upstream


def png(size: tuple[int, int], colour: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(out, "PNG")
    return out.getvalue()


PICTURE = png((64, 48), (200, 10, 10))
SMALL_MASK = png((32, 24), (0, 0, 0, 0))


async def edit(here: Here, mask: bytes, **headers: str) -> httpx.Response:
    return await here.client.post(
        "/v1/images/edits",
        data={"model": "gpt-image-2", "prompt": "a kite", "size": "1024x1024"},
        files={"image": ("a.png", PICTURE, "image/png"), "mask": ("m.png", mask, "image/png")},
        headers=headers,
    )


def sent_mask(upstream: Upstream) -> Image.Image:
    (mask,) = [file for file in upstream.images[-1].files if file.name == "mask"]
    return Image.open(io.BytesIO(mask.data))


async def test_a_mask_of_another_size_is_scaled_and_told(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        response = await edit(here, SMALL_MASK)
        assert response.status_code == 200, response.text
        assert sent_mask(upstream).size == (64, 48)
        assert listing(response.headers["x-imagegate-adjustments"]) == [
            {"field": "mask", "from": "32x24", "to": "64x48", "how": "emulated"}
        ]


async def test_a_mask_that_fits_goes_as_it_came(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        mask = png((64, 48), (0, 0, 0, 0))
        response = await edit(here, mask)
        assert "x-imagegate-adjustments" not in response.headers
        (sent,) = [file.data for file in upstream.images[-1].files if file.name == "mask"]
        assert sent == mask


async def test_in_strict_mode_a_mask_is_not_scaled(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        await edit(here, SMALL_MASK, **{"x-imagegate-size-mode": "strict"})
        assert sent_mask(upstream).size == (32, 24)


@pytest.mark.parametrize(("polarity", "edited"), [("white", 255), ("black", 0)])
async def test_a_target_with_masks_of_its_own_gets_those(
    upstream: Upstream, tmp_path: Path, polarity: str, edited: int
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    own: dict[str, Any] = {"mask": polarity}
    catalog = f'\ncatalog: [{{"id": "gpt-image-2", "inputs": {own}}}]'.replace("'", '"')
    async with gateway_here(config(upstream) + catalog, tmp_path) as here:
        await edit(here, SMALL_MASK)
        mask = sent_mask(upstream)
        assert (mask.mode, mask.size, mask.getpixel((5, 5))) == ("L", (64, 48), edited)


async def test_a_mask_without_transparency_that_must_be_redrawn_is_refused_and_nothing_is_held(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        response = await edit(here, png((32, 24), (0, 0, 0)))
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "mask")
        assert "must be transparent" in error["message"]
        assert list(upstream.images) == []
        assert await here.rows("requests") == []
