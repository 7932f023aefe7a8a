"""Workers AI behind a whole gateway: what a client gets, and what is booked."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.adapters_here import asked, check_failure, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import mask, picture, png
from tests.simulators.cloudflare_upstream import CloudflareUpstream

SCHNELL = "@cf/black-forest-labs/flux-1-schnell"
FLUX_2 = "@cf/black-forest-labs/flux-2-dev"
PHOENIX = "@cf/leonardo/phoenix-1.0"
INPAINT = "@cf/runwayml/stable-diffusion-v1-5-inpainting"
SDXL = "@cf/stabilityai/stable-diffusion-xl-base-1.0"
MODELS = (SCHNELL, FLUX_2, PHOENIX, INPAINT, SDXL)


@pytest.fixture
async def fake() -> AsyncIterator[CloudflareUpstream]:
    async with CloudflareUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: CloudflareUpstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key").write_text(fake.key)
    models = ", ".join(f'"{name}": {{targets: [{{provider: cf}}]}}' for name in MODELS)
    config = (
        f"models: {{{models}}}\n"
        f'providers: {{cf: {{type: cloudflare, account_id: "{fake.account}", api_key: "file:key", '
        f'base_url: "{fake.base_url}"}}}}'
    )
    async with gateway_here(config, tmp_path) as running:
        yield running


async def test_pixels_are_sent_and_tiles_and_steps_are_booked(here: Here, fake: CloudflareUpstream) -> None:
    response = await asked(here, PHOENIX, size="1024x1024", quality="high", output_format="png")
    assert response.status_code == 200, response.text
    sent = fake.posts[0].fields
    assert (sent["width"], sent["height"], sent["num_steps"]) == (1024, 1024, 25)
    assert picture(response.json()).format == "PNG"
    assert "quality" in response.headers["x-imagegate-adjustments"]
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 4 * 5_800_000 + 2_750_000)


async def test_several_pictures_are_several_calls(here: Here, fake: CloudflareUpstream) -> None:
    response = await asked(here, SCHNELL, n=3, seed=5)
    assert len(response.json()["data"]) == 3
    assert sorted(str(call.fields["seed"]) for call in fake.posts) == ["5", "6", "7"]
    assert [row["cost"] for row in await here.rows("attempts")] == [633_600] * 3


async def test_a_large_input_is_scaled_down_and_told(here: Here, fake: CloudflareUpstream) -> None:
    response = await edited(here, FLUX_2, png(1600, 1200))
    assert response.status_code == 200, response.text
    assert fake.inputs == [(511, 383)]
    told = response.headers["x-imagegate-adjustments"]
    assert 'image;from="1600x1200";to="511x383";how=emulated' in told
    assert response.json()["size"] == "1152x864"
    (attempt,) = await here.rows("attempts")
    assert attempt["cost"] == 4 * 10_250_000 + 5_250_000
    assert "hold_underestimate" not in (attempt["flags"] or "")


async def test_openais_mask_becomes_one_whose_white_is_painted_anew(
    here: Here, fake: CloudflareUpstream
) -> None:
    response = await edited(here, INPAINT, png(512, 512), mask=mask(512, 512))
    assert response.status_code == 200, response.text
    sent = Image.open(io.BytesIO(fake.masks[0])).convert("L")
    assert (sent.getpixel((10, 10)), sent.getpixel((400, 10))) == (255, 0)


async def test_inpainting_without_a_mask_is_refused_before_anything_is_sent(
    here: Here, fake: CloudflareUpstream
) -> None:
    response = await edited(here, INPAINT, png(512, 512))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "mask")
    assert not fake.posts


@pytest.mark.parametrize(
    ("what", "status", "code", "state"),
    [
        ("capacity", 503, "server_is_overloaded", "released"),
        ("day", 429, "rate_limit_exceeded", "released"),
        ("agreement", 502, "upstream_auth_failed", "released"),
        ("no model", 502, "upstream_model_not_found", "released"),
        ("unsafe", 400, "moderation_blocked", "unknown"),
        ("slow", 504, "upstream_timeout", "unknown"),
    ],
)
async def test_failures_come_in_openais_envelope(
    here: Here, fake: CloudflareUpstream, what: str, status: int, code: str, state: str
) -> None:
    fake.plan(*[fake.refusal(what)] * 3)
    await check_failure(here, await asked(here, SCHNELL), status, code, state)


async def test_a_model_without_a_known_price_is_served_and_booked_as_unknown(here: Here) -> None:
    response = await asked(here, SDXL, size="768x768")
    assert response.status_code == 200, response.text
    assert response.json()["size"] == "768x768"
    (attempt,) = await here.rows("attempts")
    assert attempt["cost"] != 0
    assert "unpriced" in attempt["flags"]


@pytest.mark.parametrize("name", [SCHNELL, SCHNELL.replace("@", "%40").replace("/", "%2F")])
async def test_a_name_with_slashes_can_be_asked_for(here: Here, name: str) -> None:
    response = await here.client.get(f"/v1/models/{name}")
    assert (response.status_code, response.json()["id"]) == (200, SCHNELL)
