"""Bedrock behind a whole gateway: what a client gets, and what is booked."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.adapters_here import asked, check_failure, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import mask, picture, pictures, png
from tests.simulators.bedrock_upstream import REGION, BedrockUpstream, exception
from tests.simulators.json_upstream import Reply

CORE = "stability.stable-image-core-v1:1"
INPAINT = "us.stability.stable-image-inpaint-v1:0"
SOURCE = png(96, 80)


@pytest.fixture
async def fake() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: BedrockUpstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "access").write_text(fake.access_key)
    (tmp_path / "secret").write_text(fake.secret_key)
    keys = 'access_key_id: "file:access", secret_access_key: "file:secret"'
    account = f'type: bedrock, region: {REGION}, base_url: "{fake.origin}", {keys}'
    async with gateway_here(f"providers: {{aws: {{{account}}}}}", tmp_path) as running:
        yield running


async def test_a_size_becomes_the_nearest_ratio_and_the_price_is_booked(
    here: Here, fake: BedrockUpstream
) -> None:
    response = await asked(here, CORE, size="1920x1080")
    assert response.status_code == 200, response.text
    assert fake.posts[0].fields["aspect_ratio"] == "16:9"
    assert picture(response.json()).size == (1344, 768)
    told = response.headers["x-imagegate-size"]
    assert 'sent="1344x768"' in told
    assert "rule=nearest" in told
    assert Decimal(response.headers["x-imagegate-cost-usd"]) == Decimal("0.040000")
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 40_000_000)


async def test_several_pictures_are_several_calls_with_seeds_that_count_on(
    here: Here, fake: BedrockUpstream
) -> None:
    response = await asked(here, CORE, n=3, seed=7, output_format="webp")
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == 3
    assert sorted(call.fields["seed"] for call in fake.posts) == [7, 8, 9]  # type: ignore[type-var]
    assert {call.fields["output_format"] for call in fake.posts} == {"png"}
    assert {each.format for each in pictures(response.json())} == {"WEBP"}
    assert Decimal(response.headers["x-imagegate-cost-usd"]) == Decimal("0.120000")


async def test_an_edit_sends_a_white_mask_where_the_callers_is_transparent(
    here: Here, fake: BedrockUpstream
) -> None:
    response = await edited(here, INPAINT, SOURCE, mask=mask(96, 80), grow_mask="3")
    assert response.status_code == 200, response.text
    assert picture(response.json()).size == (96, 80)
    fields = fake.posts[0].fields
    assert (fields["grow_mask"], fields["prompt"]) == (3, "make it blue")
    sent = Image.open(io.BytesIO(base64.b64decode(str(fields["mask"])))).convert("L")
    assert (sent.size, sent.getpixel((10, 40)), sent.getpixel((90, 40))) == ((96, 80), 255, 0)
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 70_000_000)


async def test_an_edit_without_the_mask_that_the_model_needs_is_refused_unpaid(
    here: Here, fake: BedrockUpstream
) -> None:
    response = await edited(here, INPAINT, SOURCE)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "mask")
    assert "needs a 'mask'" in error["message"]
    assert (fake.calls, await here.rows("attempts")) == ([], [])


async def test_style_transfer_needs_two_pictures(here: Here, fake: BedrockUpstream) -> None:
    response = await edited(here, "us.stability.stable-style-transfer-v1:0", SOURCE)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "image")
    assert "2 input pictures" in error["message"]
    assert not fake.calls


async def test_a_size_of_an_edit_that_has_none_is_told(here: Here, fake: BedrockUpstream) -> None:
    model = "us.stability.stable-image-control-sketch-v1:0"
    response = await edited(here, model, SOURCE, size="1024x1024")
    assert response.status_code == 200, response.text
    told = response.headers["x-imagegate-size"]
    assert 'requested="1024x1024", sent="auto", received="96x80", rule=nearest' in told
    assert set(fake.posts[0].fields) == {"image", "prompt"}
    strict = {"x-imagegate-size-mode": "strict"}
    here.client.headers.update(strict)
    refused = await edited(here, model, SOURCE, size="1024x1024")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "size")
    assert "auto" in refused.json()["error"]["message"]


@pytest.mark.parametrize(("prompt", "state"), [("blocked", "released"), ("withheld", "unknown")])
async def test_filters_are_moderation_blocked(here: Here, prompt: str, state: str) -> None:
    response = await asked(here, CORE, prompt=prompt)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "moderation_blocked")
    assert error["moderation_details"]["moderation_stage"] in ("input", "output")
    assert response.headers["x-should-retry"] == "false"
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["kind"]) == (state, "moderation")


@pytest.mark.parametrize(
    ("reply", "status", "code", "state"),
    [
        (exception("ThrottlingException"), 429, "rate_limit_exceeded", "released"),
        (exception("ServiceUnavailableException"), 503, "server_is_overloaded", "released"),
        (exception("AccessDeniedException"), 502, "upstream_auth_failed", "released"),
        (exception("ResourceNotFoundException"), 502, "upstream_model_not_found", "released"),
        (exception("InternalServerException"), 500, None, "released"),
        (exception("ModelTimeoutException"), 504, "upstream_timeout", "unknown"),
        (Reply(502, b"<html>Bad gateway</html>"), 502, "upstream_unknown", "unknown"),
    ],
)
async def test_failures_come_in_openais_envelope(
    here: Here, fake: BedrockUpstream, reply: Reply, status: int, code: str | None, state: str
) -> None:
    fake.plan(*[reply] * 4)
    response = await asked(here, CORE)
    await check_failure(here, response, status, code, state)
    said = reply.headers.get("x-amzn-errortype", "").partition(":")[0]
    assert {attempt["error_code"] or "" for attempt in await here.rows("attempts")} == {said}


async def test_without_botocore_the_gateway_starts_and_says_what_to_install(
    fake: BedrockUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    config = f'providers: {{aws: {{type: bedrock, region: {REGION}, base_url: "{fake.origin}"}}}}'
    async with gateway_here(config, tmp_path) as here:
        response = await asked(here, CORE)
    assert response.status_code >= 400
    assert "pip install 'imagegate[bedrock]'" in response.json()["error"]["message"]
    assert not fake.calls
