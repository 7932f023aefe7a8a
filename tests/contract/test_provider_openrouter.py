"""The OpenRouter adapter against a fake OpenRouter, over real sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from providers.base import Certainty, ImageRequest, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document
from tests.contract.pictures import png
from tests.simulators.json_upstream import Reply, said
from tests.simulators.openrouter_upstream import OpenRouterUpstream
from tests.unit.providers.wire import body_of, failure, picture_file

MODEL = "google/gemini-3-pro-image"
OPENAI = "openai/gpt-image-2.5-sunburst"


@pytest.fixture
async def fake() -> AsyncIterator[OpenRouterUpstream]:
    async with OpenRouterUpstream() as running:
        yield running


def openrouter(client: UpstreamClient, fake: OpenRouterUpstream, **settings: object) -> Provider:
    config = {"type": "openrouter", "api_key": "env:KEY", "base_url": fake.base_url, **settings}
    return account(config, client, fake.key)


@pytest.fixture
def here(client: UpstreamClient, fake: OpenRouterUpstream) -> Provider:
    return openrouter(client, fake)


def generation(prompt: str = "a blue cup", model: str = MODEL, **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


async def test_an_answer_becomes_openais_document_with_its_usage_and_cost(
    here: Provider, fake: OpenRouterUpstream
) -> None:
    result = await here.send(generation(aspect_ratio="4:5", resolution="2K"), 10)
    found = json.loads(await body_of(result))
    assert set(found) == {"created", "data", "usage"}
    assert base64.b64decode(found["data"][0]["b64_json"]).startswith(b"\x89PNG")
    assert found["usage"] == {
        "input_tokens": 1130, "output_tokens": 1290, "total_tokens": 2420,
        "output_tokens_details": {"image_tokens": 1120, "text_tokens": 170},
    }  # fmt: skip
    assert result.cost == Decimal("0.1387")
    assert fake.posts[0].fields == {
        "model": MODEL,
        "prompt": "a blue cup",
        "aspect_ratio": "4:5",
        "resolution": "2K",
    }


async def test_pictures_go_as_references_to_the_same_endpoint(
    here: Provider, fake: OpenRouterUpstream
) -> None:
    data = png()
    pictures = (picture_file(data), InputRef("https://example.com/cup.png"))
    request = ImageRequest(Operation.EDIT, OPENAI, "blue glaze", {"size": "1024x1024", "n": 2}, pictures)
    assert len((await document(here, request))["data"]) == 2
    (call,) = fake.posts
    assert (call.path, call.status) == ("/api/v1/images", 200)
    inline = "data:image/png;base64," + base64.b64encode(data).decode()
    assert call.fields["input_references"] == [
        {"type": "image_url", "image_url": {"url": inline}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cup.png"}},
    ]


async def test_the_providers_behind_it_and_the_applications_name_are_the_operators_choice(
    client: UpstreamClient, fake: OpenRouterUpstream
) -> None:
    endpoints = {"only": ["google-vertex"], "allow_fallbacks": False}
    named = openrouter(
        client, fake, endpoints=endpoints, referer="https://images.example", title="Images of Example"
    )
    await body_of(await named.send(generation(), 10))
    (call,) = fake.posts
    assert call.fields["provider"] == endpoints
    assert call.headers["http-referer"] == "https://images.example"
    assert call.headers["x-openrouter-title"] == "Images of Example"


async def test_on_a_key_of_ones_own_both_bills_count(here: Provider) -> None:
    result = await here.send(generation("own key"), 10)
    await body_of(result)
    assert result.cost == Decimal("0.1397")


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0}, Decimal(0)),
        ({"cost": 1.5e-05}, Decimal("0.000015")),
        ({"cost": -1}, None),
        ({"cost": "1"}, None),
        ({"cost": True}, None),
        ({"cost": 0.1, "is_byok": True}, None),
        ({}, None),
        (None, None),
    ],
)
async def test_a_cost_that_is_not_told_is_unknown_and_never_free(
    here: Provider, fake: OpenRouterUpstream, usage: object, cost: Decimal | None
) -> None:
    fake.plan(said(200, {"data": [{"b64_json": "QUJD"}], "usage": usage}))
    result = await here.send(generation(), 10)
    document = json.loads(await body_of(result))
    assert result.cost == cost
    assert "usage" not in document


@pytest.mark.parametrize(
    ("what", "kind", "certainty", "code"),
    [
        ("credits", Kind.AUTH, Certainty.REJECTED, "insufficient_quota"),
        ("flagged", Kind.MODERATION, Certainty.REJECTED, "moderation_blocked"),
        ("behind", Kind.MODERATION, Certainty.REJECTED, "moderation_blocked"),
        ("forbidden", Kind.AUTH, Certainty.REJECTED, None),
        ("no endpoint", Kind.NOT_FOUND, Certainty.REJECTED, None),
        ("rate", Kind.THROTTLED, Certainty.REJECTED, None),
        ("wait", Kind.THROTTLED, Certainty.REJECTED, None),
        ("upstream", Kind.SERVER, Certainty.FAILED, None),
        ("overloaded", Kind.OVERLOADED, Certainty.FAILED, None),
        ("edge timeout", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, None),
        ("edge", Kind.SERVER, Certainty.MAYBE_ACCEPTED, None),
    ],
)
async def test_every_refusal_keeps_its_meaning(
    here: Provider, fake: OpenRouterUpstream, what: str, kind: Kind, certainty: Certainty, code: str | None
) -> None:
    fake.plan(fake.refusal(what))
    found = await failure(here, generation())
    assert (found.kind, found.certainty, found.code) == (kind, certainty, code)
    if what == "flagged":
        assert found.details == {"moderation_stage": "input", "categories": ["violence"]}
    if what == "behind":
        assert found.details == {"moderation_stage": "unknown", "categories": []}


@pytest.mark.parametrize(("what", "least", "most"), [("wait", 3, 3), ("rate", 5, 9)])
async def test_both_forms_of_a_wait_are_read(
    here: Provider, fake: OpenRouterUpstream, what: str, least: float, most: float
) -> None:
    fake.plan(fake.refusal(what))
    found = await failure(here, generation())
    assert found.retry_after is not None
    assert least <= found.retry_after <= most


async def test_an_error_inside_a_200_is_an_error(here: Provider) -> None:
    found = await failure(here, generation("late failure"))
    assert (found.kind, found.certainty) == (Kind.SERVER, Certainty.FAILED)


async def test_a_wrong_key_is_the_accounts_fault_and_not_shown(
    client: UpstreamClient, fake: OpenRouterUpstream
) -> None:
    wrong = "sk-or-v1-wrong0123456789"
    settings = {"type": "openrouter", "api_key": "env:KEY", "base_url": fake.base_url}
    found = await failure(account(settings, client, wrong), generation())
    assert (found.kind, found.certainty) == (Kind.AUTH, Certainty.REJECTED)
    assert wrong not in found.message


@pytest.mark.parametrize(
    ("reply", "kind", "certainty"),
    [
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (
            Reply(200, b'{"data":[', {"content-type": "application/json"}),
            Kind.BAD_PAYLOAD,
            Certainty.ANSWERED,
        ),
        (Reply(delay=3), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
    ],
)
async def test_unclear_ends_are_told_as_such(
    here: Provider, fake: OpenRouterUpstream, reply: Reply, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(reply)
    found = await failure(here, generation(), 1.0)
    assert (found.kind, found.certainty) == (kind, certainty)


async def test_a_probe_lists_models_and_buys_nothing(here: Provider, fake: OpenRouterUpstream) -> None:
    found = await here.probe()
    assert (found.reachable, found.key_accepted) == (True, None)
    assert MODEL in found.models
    assert not fake.posts
