"""Google's models behind the gateway: OpenAI's requests in, OpenAI's answers out, and the books right."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.adapters_here import asked, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import picture, pictures, png
from tests.simulators.google_upstream import PROJECT, TOKEN, GoogleUpstream, fault, quota
from tests.simulators.json_upstream import Reply

FLASH = "gemini-3.1-flash-image"
SOURCE, CLEAR = png(90, 160), png(90, 160, "RGBA")


@pytest.fixture
async def fake() -> AsyncIterator[GoogleUpstream]:
    async with GoogleUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: GoogleUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setenv("GEMINI_KEY", fake.key)
    monkeypatch.setenv("CLOUD_TOKEN", TOKEN)
    config = f"""
providers:
  google: {{type: gemini, api_key: "env:GEMINI_KEY", base_url: "{fake.base_url}"}}
  cloud:
    type: vertex
    project: {PROJECT}
    access_token: env:CLOUD_TOKEN
    base_url: {fake.origin}
    imagen: true
models:
  {FLASH}: {{targets: [{{provider: google}}]}}
  gemini-3-pro-image: {{targets: [{{provider: google}}]}}
  cloud-flash: {{targets: [{{provider: cloud, model: {FLASH}}}]}}
  both: {{targets: [{{provider: google, model: {FLASH}}}, {{provider: cloud, model: {FLASH}}}]}}
  imagen: {{targets: [{{provider: cloud, model: imagen-4.0-generate-001}}]}}
  imagen-edit: {{targets: [{{provider: cloud, model: imagen-3.0-capability-001}}]}}
"""
    async with gateway_here(config, tmp_path) as gateway:
        yield gateway


async def test_pixels_become_a_ratio_and_a_tier_and_the_cost_is_booked(
    here: Here, fake: GoogleUpstream
) -> None:
    answer = await asked(here, FLASH, size="2752x1536")
    assert picture(answer.json()).size == (2752, 1536)
    assert answer.json()["size"] == "2752x1536"
    assert answer.headers["x-imagegate-size"].endswith("rule=exact")
    (row,) = await here.rows("attempts")
    # 3 tokens of text at $0.50, 1680 of a picture at $60 and 185 of text and thoughts at $3, a million.
    assert row["cost"] == 3 * 500 + 1680 * 60_000 + 185 * 3_000
    assert row["upstream_request_id"].startswith("resp-")
    assert fake.posts[0].fields["generationConfig"]["imageConfig"] == {  # type: ignore[index]
        "aspectRatio": "16:9",
        "imageSize": "2K",
    }


async def test_what_a_model_does_not_have_is_told_and_a_format_is_converted(here: Here) -> None:
    answer = await asked(here, FLASH, quality="high", output_format="webp", moderation="low")
    assert picture(answer.json()).format == "WEBP"
    told = answer.headers["x-imagegate-adjustments"]
    assert 'quality;from="high";how=dropped' in told
    assert "how=emulated" in told
    assert 'moderation;from="low";how=dropped' in told


async def test_the_cloud_makes_the_format_itself(here: Here, fake: GoogleUpstream) -> None:
    answer = await asked(here, "cloud-flash", output_format="jpeg", output_compression=70)
    assert picture(answer.json()).format == "JPEG"
    assert "x-imagegate-adjustments" not in answer.headers
    options = fake.posts[0].fields["generationConfig"]["imageConfig"]["imageOutputOptions"]  # type: ignore[index]
    assert options == {"mimeType": "image/jpeg", "compressionQuality": 70}


async def test_several_pictures_are_as_many_calls(here: Here, fake: GoogleUpstream) -> None:
    assert len(pictures((await asked(here, FLASH, n=3)).json())) == 3
    assert len(fake.posts) == 3
    assert len(await here.rows("attempts")) == 3


async def test_an_edit_takes_its_ratio_from_its_first_picture(here: Here, fake: GoogleUpstream) -> None:
    answer = await edited(here, FLASH, SOURCE, SOURCE, size="1K")
    assert picture(answer.json()).size == (768, 1376)
    assert answer.json()["usage"]["input_tokens_details"]["image_tokens"] == 2240
    assert len(fake.posts[0].fields["contents"][0]["parts"]) == 3  # type: ignore[index]


async def test_a_mask_is_refused_with_the_reason(here: Here, fake: GoogleUpstream) -> None:
    answer = await edited(here, FLASH, SOURCE, mask=CLEAR)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "mask"
    assert fake.posts == []


async def test_imagen_gets_a_mask_of_its_own_polarity(here: Here, fake: GoogleUpstream) -> None:
    answer = await edited(here, "imagen-edit", SOURCE, mask=CLEAR, n="2")
    assert len(pictures(answer.json())) == 2
    _, mask = fake.posts[0].fields["instances"][0]["referenceImages"]  # type: ignore[index]
    with Image.open(io.BytesIO(base64.b64decode(mask["referenceImage"]["bytesBase64Encoded"]))) as sent:
        # All of it was transparent, which is what is to be edited: white here.
        assert sent.convert("L").getextrema() == (255, 255)


async def test_imagen_is_billed_by_the_picture_and_says_how_many_are_missing(here: Here) -> None:
    answer = await asked(here, "imagen", prompt="partly", n=3)
    assert len(pictures(answer.json())) == 2
    assert answer.headers["x-imagegate-partial"] == "2/3"
    (row,) = await here.rows("attempts")
    assert row["cost"] == 2 * 40_000_000


@pytest.mark.parametrize(
    ("prompt", "stage"), [("prohibited", "input"), ("image_safety", "output"), ("refuse", "output")]
)
async def test_refused_content_is_openais_moderation_and_costs_what_was_read(
    here: Here, fake: GoogleUpstream, prompt: str, stage: str
) -> None:
    answer = await asked(here, "both", prompt=prompt)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("moderation_blocked", "image_generation_user_error")
    assert error["moderation_details"]["moderation_stage"] == stage
    assert answer.headers["x-should-retry"] == "false"
    assert len(fake.posts) == 1
    (row,) = await here.rows("attempts")
    assert (row["state"], row["cost"]) == ("settled", (len(prompt) // 4 + 1) * 500)


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (quota("GenerateRequestsPerMinute", delay="900s"), 429, "rate_limit_exceeded"),
        (quota("GenerateRequestsPerDay", value="0"), 429, "insufficient_quota"),
        (fault(400, "INVALID_ARGUMENT", "Bad field."), 400, None),
        (fault(403, "PERMISSION_DENIED", "No."), 502, "upstream_auth_failed"),
        (fault(404, "NOT_FOUND", "models/x is not found."), 502, "upstream_model_not_found"),
        (fault(504, "DEADLINE_EXCEEDED", "Too slow."), 504, "upstream_timeout"),
        (Reply(502, b"<html>"), 502, "upstream_unknown"),
        (Reply(200, b'{"candidates":['), 502, "bad_upstream_payload"),
    ],
)
async def test_googles_failures_have_openais_envelope(
    here: Here, fake: GoogleUpstream, reply: Reply, status: int, code: str
) -> None:
    fake.plan(reply, reply)
    answer = await asked(here, FLASH)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"]
    assert fake.key not in answer.text


async def test_an_overloaded_model_is_served_by_the_other_account(here: Here, fake: GoogleUpstream) -> None:
    fake.plan(fault(503, "UNAVAILABLE", "The model is overloaded."))
    answer = await asked(here, "both")
    assert len(pictures(answer.json())) == 1
    assert answer.headers["x-imagegate-provider"] == "cloud"
    first, second = await here.rows("attempts")
    assert (first["state"], second["state"]) == ("released", "settled")
