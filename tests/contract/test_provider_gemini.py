"""The Gemini adapter against a fake of Google's API, which refuses what the real one refuses."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from providers.base import Certainty, ImageRequest, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document
from tests.contract.pictures import picture
from tests.simulators.google_upstream import GoogleUpstream, fault, quota
from tests.simulators.json_upstream import Reply, said
from tests.unit.providers.wire import failure, picture_file

FLASH = "gemini-3.1-flash-image"


@pytest.fixture
async def fake() -> AsyncIterator[GoogleUpstream]:
    async with GoogleUpstream() as running:
        yield running


@pytest.fixture
def gemini(client: UpstreamClient, fake: GoogleUpstream) -> Provider:
    return made(client, fake)


def made(client: UpstreamClient, fake: GoogleUpstream, key: str | None = None, **more: Any) -> Provider:
    settings = {"type": "gemini", "api_key": "env:KEY", "base_url": fake.base_url, **more}
    return account(settings, client, key or fake.key)


def generation(prompt: str = "a red kite", model: str = FLASH, **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


@pytest.mark.parametrize(
    ("model", "params", "size"),
    [
        (FLASH, {}, (1024, 1024)),
        (FLASH, {"aspect_ratio": "16:9", "resolution": "2K"}, (2752, 1536)),
        (FLASH, {"aspect_ratio": "1:8", "resolution": "512"}, (192, 1536)),
        (FLASH, {"thinking_level": "high", "seed": 7}, (1024, 1024)),
        ("gemini-nano-banana-2.1", {"aspect_ratio": "9:16", "thinking_level": "medium"}, (768, 1376)),
        ("gemini-3.1-flash-lite-image", {"aspect_ratio": "4:5", "resolution": "1K"}, (928, 1152)),
        ("gemini-3-pro-image", {"aspect_ratio": "21:9", "resolution": "1K"}, (1584, 672)),
        ("gemini-2.5-flash-image", {"aspect_ratio": "3:2"}, (1248, 832)),
    ],
)
async def test_each_model_is_asked_in_its_own_words(
    gemini: Provider, model: str, params: dict[str, object], size: tuple[int, int]
) -> None:
    assert picture(await document(gemini, generation(model=model, **params))).size == size


async def test_usage_is_told_in_openais_words_with_thoughts_as_text(gemini: Provider) -> None:
    told = await document(gemini, generation())
    assert told["usage"] == {
        "input_tokens": 3,
        "output_tokens": 1305,
        "output_tokens_details": {"image_tokens": 1120, "text_tokens": 185},
        "total_tokens": 1308,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 3},
    }
    assert told["output_format"] == "png"


async def test_usage_without_a_split_counts_what_is_made_as_pictures(gemini: Provider) -> None:
    usage = (await document(gemini, generation("undetailed")))["usage"]
    assert usage["output_tokens_details"] == {"image_tokens": 1130, "text_tokens": 175}
    assert "input_tokens_details" not in usage


async def test_an_answer_that_tells_no_usage_has_none(gemini: Provider) -> None:
    assert "usage" not in await document(gemini, generation("untold"))


async def test_pictures_go_in_as_files_and_as_data_urls(gemini: Provider, fake: GoogleUpstream) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
    images = [picture_file(out.getvalue(), "a.jpg", "image/jpeg"), InputRef(url)]
    request = ImageRequest(Operation.EDIT, FLASH, "make it stormy", {}, images)
    told = await document(gemini, request)
    assert told["usage"]["input_tokens_details"]["image_tokens"] == 2240
    text, first, second = fake.posts[0].fields["contents"][0]["parts"]  # type: ignore[index]
    assert text == {"text": "make it stormy"}
    assert first == second
    assert base64.b64decode(first["inlineData"]["data"]) == out.getvalue()


async def test_a_link_is_not_sent_to_a_model_that_takes_none(gemini: Provider, fake: GoogleUpstream) -> None:
    request = ImageRequest(Operation.EDIT, FLASH, "x", {}, [InputRef("https://images.example/a.png")])
    error = await failure(gemini, request)
    assert (error.kind, error.certainty) == (Kind.INVALID, Certainty.NOT_SENT)
    assert fake.posts == []


@pytest.mark.parametrize("prompt", ["draft", "twice", "draft twice afterthought"])
async def test_of_several_pictures_the_last_that_is_no_thought_is_delivered(
    gemini: Provider, prompt: str
) -> None:
    assert picture(await document(gemini, generation(prompt))).size == (1024, 1024)


async def test_a_large_picture_comes_through_byte_for_byte(client: UpstreamClient) -> None:
    async with GoogleUpstream(pad=5_000_000) as fake:
        told = await document(made(client, fake), generation("draft", resolution="4K"))
        assert picture(told).size == (4096, 4096)
        assert len(base64.b64decode(told["data"][0]["b64_json"])) == 5_000_000


async def test_the_key_travels_in_a_header_and_nothing_else_names_it(
    gemini: Provider, fake: GoogleUpstream
) -> None:
    await document(gemini, generation())
    (call,) = fake.posts
    assert call.headers["x-goog-api-key"] == fake.key
    assert call.query == {}
    assert fake.key.encode() not in call.body


async def test_an_account_may_set_its_own_safety_thresholds(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    await document(made(client, fake, safety={"HARASSMENT": "BLOCK_ONLY_HIGH"}), generation())
    assert fake.posts[0].fields["safetySettings"] == [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}
    ]


@pytest.mark.parametrize(
    ("prompt", "stage", "categories", "code"),
    [
        ("prohibited", "input", ["prohibited_content"], "PROHIBITED_CONTENT"),
        ("image_safety", "output", ["sexually_explicit"], "IMAGE_SAFETY"),
        ("recitation", "output", ["image_recitation"], "IMAGE_RECITATION"),
        ("refuse to draw a red kite", "output", ["refused_in_words"], "refused_in_words"),
    ],
)
async def test_every_refusal_inside_a_200_is_moderation(
    gemini: Provider, prompt: str, stage: str, categories: list[str], code: str
) -> None:
    error = await failure(gemini, generation(prompt))
    assert (error.kind, error.certainty, error.code) == (Kind.MODERATION, Certainty.ANSWERED, code)
    assert error.details == {"moderation_stage": stage, "categories": categories}
    assert error.reported_usage is not None
    assert error.reported_usage["output_tokens"] == 0
    assert prompt == "prohibited" or prompt not in error.message


@pytest.mark.parametrize(
    ("prompt", "kind", "certainty"),
    [
        ("no_image", Kind.EMPTY, Certainty.ANSWERED),
        ("image_other", Kind.EMPTY, Certainty.ANSWERED),
        ("disabled", Kind.AUTH, Certainty.REJECTED),
    ],
)
async def test_a_200_without_a_picture_that_blocks_nothing(
    gemini: Provider, prompt: str, kind: Kind, certainty: Certainty
) -> None:
    error = await failure(gemini, generation(prompt))
    assert (error.kind, error.certainty) == (kind, certainty)


@pytest.mark.parametrize(
    ("reply", "kind", "certainty", "wait"),
    [
        (quota("GenerateRequestsPerMinute", delay="17s"), Kind.THROTTLED, Certainty.REJECTED, 17),
        (quota("GenerateRequestsPerDay", delay="17s"), Kind.THROTTLED, Certainty.REJECTED, 3600),
        (quota("GenerateRequestsPerDay", value="0"), Kind.AUTH, Certainty.REJECTED, None),
        (
            fault(429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 47.5s."),
            Kind.THROTTLED,
            Certainty.REJECTED,
            47.5,
        ),
        (
            fault(429, "RESOURCE_EXHAUSTED", "Please retry in 1h2m3s."),
            Kind.THROTTLED,
            Certainty.REJECTED,
            3723,
        ),
        (fault(429, "RESOURCE_EXHAUSTED", "Quota exceeded."), Kind.THROTTLED, Certainty.REJECTED, None),
        (said(429, [json.loads(quota("M", delay="2s").body)]), Kind.THROTTLED, Certainty.REJECTED, 2),
        (said(429, {}, retry_after="9"), Kind.THROTTLED, Certainty.REJECTED, 9),
        (fault(400, "INVALID_ARGUMENT", "Bad field."), Kind.INVALID, Certainty.REJECTED, None),
        (
            fault(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            Kind.AUTH,
            Certainty.REJECTED,
            None,
        ),
        (
            fault(400, "INVALID_ARGUMENT", "Filtered. Support codes: 58061214"),
            Kind.MODERATION,
            Certainty.REJECTED,
            None,
        ),
        (fault(403, "PERMISSION_DENIED", "API not enabled."), Kind.AUTH, Certainty.REJECTED, None),
        (fault(404, "NOT_FOUND", "models/x is not found."), Kind.NOT_FOUND, Certainty.REJECTED, None),
        (fault(500, "INTERNAL", "An internal error."), Kind.SERVER, Certainty.FAILED, None),
        (
            fault(503, "UNAVAILABLE", "The model is overloaded."),
            Kind.OVERLOADED,
            Certainty.FAILED,
            None,
        ),
        (fault(504, "DEADLINE_EXCEEDED", "Too slow."), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, None),
        (fault(499, "CANCELLED", "Cancelled."), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, None),
        (Reply(502, b"<html>"), Kind.SERVER, Certainty.MAYBE_ACCEPTED, None),
        (Reply(503, b"<html>"), Kind.OVERLOADED, Certainty.MAYBE_ACCEPTED, None),
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED, None),
        (Reply(200, b"<html>"), Kind.BAD_PAYLOAD, Certainty.ANSWERED, None),
        (Reply(200, b'{"candidates":[{"content"', cut=20), Kind.BAD_PAYLOAD, Certainty.ANSWERED, None),
        (Reply(200, b'{"candidates":['), Kind.BAD_PAYLOAD, Certainty.ANSWERED, None),
        (said(200, {}), Kind.EMPTY, Certainty.ANSWERED, None),
        (said(200, {"candidates": ["odd"], "promptFeedback": []}), Kind.EMPTY, Certainty.ANSWERED, None),
    ],
)
async def test_failures_have_their_kind_their_certainty_and_their_pause(
    gemini: Provider,
    fake: GoogleUpstream,
    reply: Reply,
    kind: Kind,
    certainty: Certainty,
    wait: float | None,
) -> None:
    fake.plan(reply)
    error = await failure(gemini, generation())
    assert (error.kind, error.certainty, error.retry_after) == (kind, certainty, wait)


async def test_an_account_without_any_quota_is_said_to_be_out_of_it(
    gemini: Provider, fake: GoogleUpstream
) -> None:
    fake.plan(quota("GenerateRequestsPerDay", value="0"))
    assert (await failure(gemini, generation())).code == "insufficient_quota"


async def test_a_wrong_key_is_the_accounts_fault_and_is_never_shown(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    wrong = "AIzaWrong-0123456789abcdefghijklmnop"
    provider = made(client, fake, key=wrong)
    error = await failure(provider, generation())
    assert (error.kind, error.certainty) == (Kind.AUTH, Certainty.REJECTED)
    fake.plan(fault(400, "INVALID_ARGUMENT", f"Bad request with key {wrong}."))
    assert wrong not in (await failure(provider, generation())).message


async def test_the_probe_is_free_and_tells_models_and_a_refused_key(
    client: UpstreamClient, fake: GoogleUpstream, gemini: Provider
) -> None:
    good = await gemini.probe()
    assert (good.reachable, good.key_accepted) == (True, True)
    assert FLASH in good.models
    assert (await made(client, fake, key="other-key").probe()).key_accepted is False
    assert fake.posts == []


async def test_text_that_is_no_unicode_is_not_sent(gemini: Provider, fake: GoogleUpstream) -> None:
    error = await failure(gemini, generation("\ud800"))
    assert (error.kind, error.certainty, error.code) == (
        Kind.INVALID,
        Certainty.NOT_SENT,
        "invalid_unicode",
    )
    assert fake.posts == []
