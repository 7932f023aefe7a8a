"""FLUX and MAI on Microsoft Foundry behind a whole gateway: what a client gets, and what is booked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.contract.adapters_here import asked, check_failure, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import picture, pictures, png
from tests.simulators.azure_foundry_upstream import FoundryUpstream
from tests.simulators.json_upstream import Reply, said

SOURCE = png(800, 768)
MODELS = """
models:
  FLUX.2-pro: {targets: [{provider: flux}]}
  FLUX.2-flex: {targets: [{provider: flux}]}
  FLUX.1-Kontext-pro: {targets: [{provider: flux}]}
  house: {targets: [{provider: mai, model: my-mai, catalog: MAI-Image-2.6}]}
"""


@pytest.fixture
async def fake() -> AsyncIterator[FoundryUpstream]:
    async with FoundryUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: FoundryUpstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key").write_text(fake.key)
    common = f'api_key: "file:key", base_url: "{fake.origin}"'
    providers = f"flux: {{type: azure-flux, {common}}}, mai: {{type: azure-mai, {common}}}"
    async with gateway_here(f"providers: {{{providers}}}\n{MODELS}", tmp_path) as running:
        yield running


async def test_flux_draws_the_nearest_size_and_its_price_is_booked(here: Here, fake: FoundryUpstream) -> None:
    response = await asked(here, "FLUX.2-pro", size="1920x1080", n=2, output_format="webp")
    assert response.status_code == 200, response.text
    assert [call.fields["width"] for call in fake.posts] == [1920, 1920]
    assert [call.fields["height"] for call in fake.posts] == [1088, 1088]
    assert [(each.format, each.size) for each in pictures(response.json())] == [("WEBP", (1920, 1088))] * 2
    assert Decimal(response.headers["x-imagegate-cost-usd"]) == Decimal("0.08")
    attempts = await here.rows("attempts")
    assert [(each["state"], each["cost"]) for each in attempts] == [("settled", 40_000_000)] * 2


async def test_flux_flex_is_billed_by_the_pixel(here: Here) -> None:
    response = await asked(here, "FLUX.2-flex", size="2048x1024", steps=20)
    assert response.status_code == 200, response.text
    assert Decimal(response.headers["x-imagegate-cost-usd"]) == Decimal("0.1048576")


async def test_flux_edits_with_several_pictures_and_kontext_with_one(
    here: Here, fake: FoundryUpstream
) -> None:
    response = await edited(here, "FLUX.2-pro", *[SOURCE] * 3)
    assert response.status_code == 200, response.text
    assert {"input_image", "input_image_2", "input_image_3"} <= set(fake.posts[0].fields)
    assert "width" not in fake.posts[0].fields
    refused = await edited(here, "FLUX.1-Kontext-pro", SOURCE, SOURCE)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "image")
    assert len(fake.posts) == 1


async def test_mai_is_booked_by_the_tokens_that_it_tells(here: Here, fake: FoundryUpstream) -> None:
    response = await asked(here, "house", size="1920x1080")
    assert response.status_code == 200, response.text
    assert (fake.posts[0].fields["width"], fake.posts[0].fields["height"]) == (1360, 768)
    assert response.json()["usage"]["output_tokens"] == 1020
    (attempt,) = await here.rows("attempts")
    # 3 text tokens at 5 dollars and 1020 at 38, per million
    assert (attempt["state"], attempt["cost"]) == ("settled", 38_775_000)
    assert not {"usage_missing", "hold_underestimate"} & set((attempt["flags"] or "").split(","))


async def test_mai_edits_a_picture(here: Here, fake: FoundryUpstream) -> None:
    response = await edited(here, "house", SOURCE, web_grounding="true")
    assert response.status_code == 200, response.text
    assert fake.posts[0].path == "/mai/v1/images/edits"
    assert picture(response.json()).size == (800, 768)
    (attempt,) = await here.rows("attempts")
    # 3 text tokens, 600 of the input picture at 8 dollars, 600 of the one that was made
    assert attempt["cost"] == 15_000 + 4_800_000 + 22_800_000


@pytest.mark.parametrize("model", ["FLUX.2-pro", "house"])
async def test_a_mask_is_refused_before_anything_is_paid(
    here: Here, fake: FoundryUpstream, model: str
) -> None:
    response = await edited(here, model, png(), mask=png(mode="RGBA"))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "mask")
    assert not fake.posts


@pytest.mark.parametrize(
    ("model", "prompt"), [("FLUX.2-pro", "blocked"), ("FLUX.2-pro", "moderated"), ("house", "blocked")]
)
async def test_filters_are_moderation_blocked(here: Here, model: str, prompt: str) -> None:
    response = await asked(here, model, prompt=prompt)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "moderation_blocked")
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("model", ["FLUX.2-pro", "house"])
@pytest.mark.parametrize(
    ("reply", "status", "code", "state"),
    [
        (
            said(429, {"error": {"code": "429", "message": "Too many."}}),
            429,
            "rate_limit_exceeded",
            "released",
        ),
        (said(401, {"error": {"code": "401", "message": "No."}}), 502, "upstream_auth_failed", "released"),
        (said(500, {"error": {"code": "500", "message": "Oh."}}), 500, None, "released"),
        (Reply(502, b"<html>Bad gateway</html>"), 502, "upstream_unknown", "unknown"),
        (said(200, {"data": []}), 502, "empty_result", "unknown"),
    ],
)
async def test_failures_come_in_openais_envelope(
    here: Here, fake: FoundryUpstream, model: str, reply: Reply, status: int, code: str | None, state: str
) -> None:
    fake.plan(*[reply] * 4)
    await check_failure(here, await asked(here, model), status, code, state)
