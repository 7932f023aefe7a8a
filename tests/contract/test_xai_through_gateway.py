"""xAI behind a whole gateway: what a client gets, and what is booked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.adapters_here import asked, check_failure, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import picture, png
from tests.simulators.json_upstream import Reply
from tests.simulators.xai_upstream import XAIUpstream

MODEL = "grok-imagine-image-2.0"
NANO = 10**9


@pytest.fixture
async def fake() -> AsyncIterator[XAIUpstream]:
    async with XAIUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: XAIUpstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key").write_text(fake.key)
    config = f'providers: {{xai: {{type: xai, api_key: "file:key", base_url: "{fake.base_url}"}}}}'
    async with gateway_here(config, tmp_path) as running:
        yield running


async def test_a_size_becomes_the_nearest_ratio_and_tier_and_the_cost_is_booked(
    here: Here, fake: XAIUpstream
) -> None:
    response = await asked(here, MODEL, size="2048x2048", quality="high", n=2)
    assert response.status_code == 200, response.text
    sent = fake.posts[0].fields
    assert (sent["aspect_ratio"], sent["resolution"], sent["quality"]) == ("1:1", "2k", "medium")
    document = response.json()
    assert (document["size"], document["output_format"], len(document["data"])) == ("2048x2048", "jpeg", 2)
    assert response.headers["x-imagegate-cost-usd"] == "0.16"
    assert 'quality;from="high";to="medium"' in response.headers["x-imagegate-adjustments"]
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 160_000_000)
    assert "price_drift" not in (attempt["flags"] or "")


async def test_another_format_is_made_here(here: Here) -> None:
    response = await asked(here, MODEL, output_format="png")
    assert picture(response.json()).format == "PNG"


async def test_an_edit_with_two_pictures_pays_for_both(here: Here, fake: XAIUpstream) -> None:
    response = await edited(here, MODEL, png(), png(), quality="low")
    assert response.status_code == 200, response.text
    assert len(fake.posts[0].fields["images"]) == 2  # type: ignore[arg-type]
    (attempt,) = await here.rows("attempts")
    assert (attempt["cost"], attempt["state"]) == (60_000_000, "settled")
    assert not {"price_drift", "hold_underestimate"} & set((attempt["flags"] or "").split(","))


async def test_an_edit_with_a_mask_is_refused_before_anything_is_paid(here: Here, fake: XAIUpstream) -> None:
    response = await edited(here, MODEL, png(), mask=png(mode="RGBA"))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "mask")
    assert not fake.posts


@pytest.mark.parametrize(
    ("prompt", "state", "cost"), [("withheld", "settled", 60_000_000), ("blocked", "settled", 0)]
)
async def test_what_is_withheld_is_moderation_blocked_and_booked_as_billed(
    here: Here, prompt: str, state: str, cost: int
) -> None:
    response = await asked(here, MODEL, prompt=prompt)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "moderation_blocked")
    assert response.headers["x-should-retry"] == "false"
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"], attempt["kind"]) == (state, cost, "moderation")


async def test_what_came_of_several_is_delivered_and_told(here: Here) -> None:
    response = await asked(here, MODEL, prompt="one withheld", n=3)
    assert (response.status_code, len(response.json()["data"])) == (200, 2)
    assert response.headers["x-imagegate-partial"] == "2/3"
    (attempt,) = await here.rows("attempts")
    assert attempt["cost"] == 180_000_000


@pytest.mark.parametrize(
    ("what", "status", "code", "state"),
    [
        ("rate", 429, "rate_limit_exceeded", "released"),
        ("credits", 429, "insufficient_quota", "released"),
        ("output", 400, "moderation_blocked", "unknown"),
        ("server", 500, None, "released"),
        ("edge", 502, "upstream_unknown", "unknown"),
    ],
)
async def test_failures_come_in_openais_envelope(
    here: Here, fake: XAIUpstream, what: str, status: int, code: str | None, state: str
) -> None:
    fake.plan(*[fake.refusal(what)] * 3)
    await check_failure(here, await asked(here, MODEL), status, code, state)


async def test_a_cut_answer_is_no_answer(here: Here, fake: XAIUpstream) -> None:
    body = b'{"data":[{"b64_json":"' + b"A" * 100_000
    fake.plan(Reply(200, body, {"content-type": "application/json"}, cut=50_000))
    response = await asked(here, MODEL)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "bad_upstream_payload")
    (attempt,) = await here.rows("attempts")
    assert attempt["state"] == "unknown"


async def test_a_stream_is_made_of_the_whole_answer(here: Here) -> None:
    response = await asked(here, MODEL, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.count("event: image_generation.completed") == 1
    (attempt,) = await here.rows("attempts")
    assert attempt["cost"] == 60_000_000
