"""OpenRouter behind a whole gateway: what a client gets, and what is booked."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.adapters_here import asked, check_failure, edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import png
from tests.simulators.openrouter_upstream import OpenRouterUpstream

GEMINI = "google/gemini-3-pro-image"
OPENAI = "openai/gpt-image-2.5-sunburst"


@pytest.fixture
async def fake() -> AsyncIterator[OpenRouterUpstream]:
    async with OpenRouterUpstream() as running:
        yield running


@pytest.fixture
async def here(fake: OpenRouterUpstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key").write_text(fake.key)
    config = f'providers: {{or: {{type: openrouter, api_key: "file:key", base_url: "{fake.base_url}"}}}}'
    async with gateway_here(config, tmp_path) as running:
        yield running


async def test_a_size_is_served_as_ratio_and_tier_and_the_answers_cost_is_booked(
    here: Here, fake: OpenRouterUpstream
) -> None:
    response = await asked(here, GEMINI, size="1080x1350", quality="high")
    assert response.status_code == 200, response.text
    assert fake.posts[0].fields == {
        "model": GEMINI, "prompt": "a red kite", "aspect_ratio": "4:5", "resolution": "1K",
    }  # fmt: skip
    assert "quality" in response.headers["x-imagegate-adjustments"]
    assert response.json()["usage"]["output_tokens"] == 1290
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 138_700_000)
    assert "provider_cost" in attempt["flags"]


async def test_an_openai_model_takes_pixels_and_formats_as_they_are(
    here: Here, fake: OpenRouterUpstream
) -> None:
    response = await asked(here, OPENAI, size="1536x1024", quality="low", output_format="jpeg", n=2)
    document = response.json()
    assert (document["size"], document["output_format"], len(document["data"])) == ("1536x1024", "jpeg", 2)
    sent = fake.posts[0].fields
    assert (sent["size"], sent["quality"], sent["n"]) == ("1536x1024", "low", 2)


async def test_several_pictures_of_a_single_picture_model_are_several_calls(
    here: Here, fake: OpenRouterUpstream
) -> None:
    response = await asked(here, GEMINI, n=2)
    assert len(response.json()["data"]) == 2
    assert len(fake.posts) == 2
    assert not any("n" in call.fields for call in fake.posts)


async def test_an_edit_is_the_same_call_with_a_reference(here: Here, fake: OpenRouterUpstream) -> None:
    response = await edited(here, OPENAI, png(), size="1024x1024", quality="low")
    assert response.status_code == 200, response.text
    assert len(fake.posts[0].fields["input_references"]) == 1  # type: ignore[arg-type]
    refused = await edited(here, OPENAI, png(), mask=png(mode="RGBA"), size="1024x1024", quality="low")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "mask")


@pytest.mark.parametrize(
    ("what", "status", "code", "state"),
    [
        ("credits", 429, "insufficient_quota", "released"),
        ("flagged", 400, "moderation_blocked", "released"),
        ("behind", 400, "moderation_blocked", "unknown"),
        ("no endpoint", 502, "upstream_model_not_found", "released"),
        ("wait", 429, "rate_limit_exceeded", "released"),
        ("edge timeout", 504, "upstream_timeout", "unknown"),
    ],
)
async def test_failures_come_in_openais_envelope(
    here: Here, fake: OpenRouterUpstream, what: str, status: int, code: str, state: str
) -> None:
    fake.plan(*[fake.refusal(what)] * 3)
    await check_failure(here, await asked(here, GEMINI), status, code, state)


async def test_an_answer_without_a_picture_is_booked_as_it_says(here: Here) -> None:
    response = await asked(here, GEMINI, prompt="text only")
    assert (response.status_code, response.json()["error"]["code"]) == (502, "empty_result")
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 138_700_000)


async def streamed(here: Here, **fields: object) -> list[tuple[str, dict[str, Any]]]:
    response = await asked(here, OPENAI, stream=True, size="1024x1024", quality="low", **fields)
    assert response.status_code == 200, response.text
    return events_of(response)


def events_of(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    found = re.findall(r"^event: (\S+)\ndata: (.+)\n\n", response.text, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


@pytest.mark.parametrize("partials", [0, 1, 3])
async def test_an_openai_model_streams_its_own_events_with_as_many_partials_as_asked_at_most(
    here: Here, fake: OpenRouterUpstream, partials: int
) -> None:
    found = await streamed(here, partial_images=partials)
    names = ["image_generation.partial_image"] * min(partials, 2) + ["image_generation.completed"]
    assert [name for name, _ in found] == names
    assert all(event["type"] == name for name, event in found)
    assert [event["partial_image_index"] for _, event in found[:-1]] == list(range(min(partials, 2)))
    assert all(base64.b64decode(event["b64_json"]).startswith(b"\x89PNG") for _, event in found)
    last = found[-1][1]
    assert (last["size"], last["quality"], last["output_format"]) == ("1024x1024", "low", "png")
    assert last["usage"]["output_tokens"] == 1290
    (call,) = fake.posts
    assert call.fields["stream"] is True
    assert "partial_images" not in call.fields
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 12_300_000)
    assert "provider_cost" in attempt["flags"]


async def test_a_streamed_edit_has_the_events_of_edits(here: Here, fake: OpenRouterUpstream) -> None:
    found = events_of(await edited(here, OPENAI, png(), stream="true", partial_images="1"))
    assert [name for name, _ in found] == ["image_edit.partial_image", "image_edit.completed"]
    assert fake.posts[0].fields["stream"] is True


async def test_several_pictures_are_not_streamed_and_that_is_told(
    here: Here, fake: OpenRouterUpstream
) -> None:
    response = await asked(here, OPENAI, stream=True, n=2, size="1024x1024", quality="low")
    assert [name for name, _ in events_of(response)] == ["image_generation.completed"] * 2
    assert "stream" in response.headers["x-imagegate-adjustments"]
    assert "stream" not in fake.posts[0].fields
    (attempt,) = await here.rows("attempts")
    assert attempt["cost"] == 24_600_000


@pytest.mark.parametrize(
    ("prompt", "code"), [("late failure", "server_error"), ("late refusal", "moderation_blocked")]
)
async def test_an_error_in_the_stream_ends_it_as_an_error(
    here: Here, fake: OpenRouterUpstream, prompt: str, code: str
) -> None:
    found = await streamed(here, prompt=prompt, partial_images=1)
    assert [name for name, _ in found] == ["image_generation.partial_image", "error"]
    assert found[-1][1]["error"]["code"] == code
    assert len(fake.posts) == 1


async def test_a_stream_cut_after_its_picture_still_costs_what_it_said(
    here: Here, fake: OpenRouterUpstream
) -> None:
    whole = fake.made({"model": OPENAI, "prompt": "a red kite", "stream": True, "size": "1024x1024"})
    fake.plan(replace(whole, cut=len(whole.body) - len(b"data: [DONE]\n\n")))
    found = await streamed(here)
    assert [name for name, _ in found] == ["image_generation.completed"]
    (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["cost"]) == ("settled", 12_300_000)
