"""The xAI adapter against a fake xAI, over real sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from providers.base import Certainty, ImageRequest, InputFile, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document, pieces_of
from tests.contract.pictures import png
from tests.simulators.json_upstream import Reply, said
from tests.simulators.xai_upstream import XAIUpstream
from tests.unit.providers.wire import body_of, failure, picture_file

MODEL = "grok-imagine-image-2.0"


@pytest.fixture
async def fake() -> AsyncIterator[XAIUpstream]:
    async with XAIUpstream() as running:
        yield running


@pytest.fixture
def xai(client: UpstreamClient, fake: XAIUpstream) -> Provider:
    return account({"type": "xai", "api_key": "env:KEY", "base_url": fake.base_url}, client, fake.key)


def generation(prompt: str = "a red kite", model: str = MODEL, **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


def edit(*pictures: InputFile | InputRef, model: str = MODEL, **params: object) -> ImageRequest:
    return ImageRequest(Operation.EDIT, model, "make it blue", params, pictures)


async def test_an_answer_becomes_openais_document_and_its_cost_is_told(
    xai: Provider, fake: XAIUpstream
) -> None:
    result = await xai.send(generation(n=2, aspect_ratio="16:9", resolution="2K", quality="low"), 10)
    found = json.loads(await body_of(result))
    assert set(found) == {"created", "data"}
    assert [list(item) for item in found["data"]] == [["b64_json"], ["b64_json"]]
    assert base64.b64decode(found["data"][0]["b64_json"]).startswith(b"\xff\xd8")
    assert result.cost == Decimal("0.12")
    assert fake.posts[0].fields == {
        "model": MODEL, "prompt": "a red kite", "n": 2, "aspect_ratio": "16:9", "resolution": "2k",
        "quality": "low", "response_format": "b64_json",
    }  # fmt: skip


async def test_what_an_answer_says_of_rates_is_kept_for_routing(xai: Provider, fake: XAIUpstream) -> None:
    limits = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1s"}
    fake.plan(said(200, {"data": [{"b64_json": "QUJD"}]}, **limits))
    result = await xai.send(generation(), 10)
    await body_of(result)
    assert result.headers["x-ratelimit-remaining-requests"] == "0"
    assert result.headers["x-ratelimit-reset-requests"] == "1s"


async def test_a_large_picture_goes_past_in_pieces(xai: Provider) -> None:
    pieces = await pieces_of(xai, generation("large"))
    assert len(pieces) > 5
    assert max(map(len, pieces)) <= 256 * 1024
    assert len(json.loads(b"".join(pieces))["data"][0]["b64_json"]) >= 4_000_000


async def test_one_picture_and_several_go_to_the_edits_route_as_json(
    xai: Provider, fake: XAIUpstream
) -> None:
    data, link = png(), InputRef("https://example.com/sofa.jpg")
    result = await xai.send(edit(picture_file(data), aspect_ratio="3:2"), 10)
    assert json.loads(await body_of(result))["data"]
    assert result.cost == Decimal("0.07")
    assert (await document(xai, edit(picture_file(data), link)))["data"]
    one, two = fake.posts
    assert (one.path, one.status, two.status) == ("/v1/images/edits", 200, 200)
    inline = "data:image/png;base64," + base64.b64encode(data).decode()
    assert one.fields["image"] == {"type": "image_url", "url": inline}
    assert two.fields["images"] == [
        {"type": "image_url", "url": inline},
        {"type": "image_url", "url": "https://example.com/sofa.jpg"},
    ]
    assert "images" not in one.fields
    assert "image" not in two.fields


async def test_an_older_model_is_told_a_ratio_beside_two_pictures(xai: Provider) -> None:
    older = "grok-imagine-image"
    two = edit(picture_file(png()), picture_file(png()), model=older, aspect_ratio="3:2")
    assert await body_of(await xai.send(two, 10))


async def test_what_is_withheld_is_moderation_and_costs_what_the_answer_says(xai: Provider) -> None:
    found = await failure(xai, generation("withheld"))
    assert (found.kind, found.certainty, found.cost) == (
        Kind.MODERATION,
        Certainty.ANSWERED,
        Decimal("0.06"),
    )
    assert found.details == {"moderation_stage": "output", "categories": []}


async def test_a_request_that_is_blocked_whole_is_moderation(xai: Provider) -> None:
    found = await failure(xai, generation("blocked"))
    assert (found.kind, found.certainty, found.cost) == (Kind.MODERATION, Certainty.ANSWERED, Decimal(0))


async def test_of_several_pictures_those_that_may_be_seen_are_delivered(xai: Provider) -> None:
    result = await xai.send(generation("one withheld", n=3), 10)
    assert len(json.loads(await body_of(result))["data"]) == 2
    assert result.cost == Decimal("0.18")


async def test_a_link_in_spite_of_what_was_asked_stays_a_link(xai: Provider, fake: XAIUpstream) -> None:
    fake.plan(said(200, {"data": [{"url": "https://imgen.x.ai/a.jpeg", "b64_json": None}]}))
    result = await xai.send(generation(), 10)
    assert json.loads(await body_of(result))["data"] == [{"url": "https://imgen.x.ai/a.jpeg"}]
    assert result.cost is None


@pytest.mark.parametrize(
    ("what", "kind", "certainty", "code"),
    [
        ("rate", Kind.THROTTLED, Certainty.REJECTED, None),
        ("credits", Kind.AUTH, Certainty.REJECTED, "insufficient_quota"),
        ("output", Kind.MODERATION, Certainty.REJECTED, "moderation_blocked"),
        ("guidelines", Kind.MODERATION, Certainty.REJECTED, "moderation_blocked"),
        ("server", Kind.SERVER, Certainty.FAILED, None),
        ("envelope", Kind.INVALID, Certainty.REJECTED, None),
        ("edge", Kind.SERVER, Certainty.MAYBE_ACCEPTED, None),
    ],
)
async def test_every_refusal_keeps_its_meaning(
    xai: Provider, fake: XAIUpstream, what: str, kind: Kind, certainty: Certainty, code: str | None
) -> None:
    fake.plan(fake.refusal(what))
    found = await failure(xai, generation())
    assert (found.kind, found.certainty, found.code) == (kind, certainty, code)
    assert found.retry_after == (7.0 if what == "rate" else None)
    assert found.billed is None  # the account's terms say it


@pytest.mark.parametrize(
    ("reply", "kind", "certainty"),
    [
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(200, b'{"data":[{"b64_json":"AAAA', {"content-type": "application/json"}, cut=20),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b'{"data":[{"b64_json":"AAAA"}', {"content-type": "application/json"}),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b"<html>", {"content-type": "text/html"}), Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(504, b""), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (said(200, {"error": {"message": "no", "type": "server_error"}}), Kind.SERVER, Certainty.FAILED),
        (said(200, {"code": "Refused", "error": "Generated image rejected by content moderation."}),
         Kind.MODERATION, Certainty.FAILED),
        (Reply(delay=3), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
    ],
)  # fmt: skip
async def test_unclear_ends_are_told_as_such(
    xai: Provider, fake: XAIUpstream, reply: Reply, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(reply)
    found = await failure(xai, generation(), 1.0)
    assert (found.kind, found.certainty) == (kind, certainty)


async def test_a_wrong_key_is_the_accounts_fault_though_it_comes_as_a_400(
    client: UpstreamClient, fake: XAIUpstream
) -> None:
    wrong = "xai-wrong-0123456789abcdef"
    here = account({"type": "xai", "api_key": "env:KEY", "base_url": fake.base_url}, client, wrong)
    found = await failure(here, generation())
    assert (found.kind, found.certainty, found.code) == (Kind.AUTH, Certainty.REJECTED, "invalid_api_key")
    assert wrong not in found.message
    probe = await here.probe()
    assert (probe.reachable, probe.key_accepted) == (True, False)


async def test_a_field_that_xai_does_not_know_is_refused_by_it(xai: Provider) -> None:
    found = await failure(xai, generation(size="1024x1024"))
    assert (found.kind, found.status) == (Kind.INVALID, 400)
    assert "size" in found.message


async def test_a_probe_lists_models_and_buys_nothing(xai: Provider, fake: XAIUpstream) -> None:
    found = await xai.probe()
    assert found.key_accepted is True
    assert {"grok-imagine-image-2.0", "grok-imagine-image-2026-03-02"} <= set(found.models)
    assert not fake.posts
