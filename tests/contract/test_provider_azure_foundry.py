"""The adapters for FLUX and MAI on Microsoft Foundry against a fake resource, over real sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from providers.base import Certainty, ImageRequest, InputFile, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document, pieces_of, settings_of
from tests.contract.pictures import picture, png
from tests.simulators.azure_foundry_upstream import FoundryUpstream
from tests.simulators.json_upstream import Reply, said
from tests.unit.providers.wire import failure, picture_file


@pytest.fixture
async def fake() -> AsyncIterator[FoundryUpstream]:
    async with FoundryUpstream() as running:
        yield running


@pytest.fixture
def flux(client: UpstreamClient, fake: FoundryUpstream) -> Provider:
    paths = {"my-flux": "flux-2-pro"}
    settings = {"type": "azure-flux", "api_key": "env:KEY", "base_url": fake.origin, "paths": paths}
    return account(settings, client, fake.key)


@pytest.fixture
def mai(client: UpstreamClient, fake: FoundryUpstream) -> Provider:
    return account({"type": "azure-mai", "api_key": "env:KEY", "base_url": fake.origin}, client, fake.key)


def generation(model: str, prompt: str = "a red kite", **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


def edit(model: str, *pictures: InputFile, prompt: str = "make it blue", **params: object) -> ImageRequest:
    given = pictures or (picture_file(png(800, 768)),)
    return ImageRequest(Operation.EDIT, model, prompt, params, given)


# -- FLUX


@pytest.mark.parametrize(
    ("asked", "path", "sent"),
    [
        (
            generation("FLUX.2-pro", size="1024x768", output_format="png", seed=3, safety_tolerance=1),
            "flux-2-pro",
            {"width": 1024, "height": 768, "output_format": "png", "seed": 3, "safety_tolerance": 1},
        ),
        (
            generation("FLUX.2-flex", guidance_scale=4.5, steps=20),
            "flux-2-flex",
            {"guidance": 4.5, "steps": 20},
        ),
        (
            generation("FLUX.1-Kontext-pro", aspect_ratio="16:9"),
            "flux-kontext-pro",
            {"aspect_ratio": "16:9"},
        ),
        (
            generation("FLUX-1.1-pro", size="1440x1056"),
            "flux-pro-1.1",
            {"width": 1440, "height": 1056},
        ),
        (generation("my-flux"), "flux-2-pro", {}),
    ],
)
async def test_flux_gets_bfls_fields_at_its_models_address(
    flux: Provider, fake: FoundryUpstream, asked: ImageRequest, path: str, sent: dict[str, object]
) -> None:
    assert set(await document(flux, asked)) == {"created", "data"}
    (call,) = fake.posts
    assert call.target == f"/providers/blackforestlabs/v1/{path}?api-version=preview"
    assert call.fields == {"model": asked.model, "prompt": "a red kite", **sent}
    assert call.headers["authorization"] == f"Bearer {fake.key}"


async def test_flux_gets_every_picture_of_an_edit_as_base64(flux: Provider, fake: FoundryUpstream) -> None:
    data = [png(64 + 16 * number, 64) for number in range(3)]
    asked = edit("FLUX.2-pro", *map(picture_file, data), size="512x512")
    assert picture(await document(flux, asked)).size == (512, 512)
    fields = fake.posts[0].fields
    names = ["input_image", "input_image_2", "input_image_3"]
    assert [base64.b64decode(str(fields[name])) for name in names] == data
    assert set(fields) == {"model", "prompt", "width", "height", *names}


async def test_flux_takes_a_data_url_and_no_link(flux: Provider, fake: FoundryUpstream) -> None:
    data = base64.b64encode(png()).decode()
    pictures = (InputRef(f"data:image/png;base64,{data}"),)
    asked = ImageRequest(Operation.EDIT, "FLUX.2-pro", "x", {}, pictures)
    assert (await document(flux, asked))["data"]
    assert fake.posts[0].fields["input_image"] == data
    asked = ImageRequest(Operation.EDIT, "FLUX.2-pro", "x", {}, (InputRef("https://a.example/b.png"),))
    found = await failure(flux, asked)
    assert (found.kind, found.certainty) == (Kind.INVALID, Certainty.NOT_SENT)


async def test_a_link_of_fluxs_is_passed_on_as_one(flux: Provider, fake: FoundryUpstream) -> None:
    assert (await document(flux, generation("FLUX.2-pro", "linked")))["data"] == [
        {"url": f"{fake.origin}/made.png"}
    ]


@pytest.mark.parametrize("word", ["Request Moderated", "Content Moderated"])
async def test_bfls_own_filter_is_moderation(flux: Provider, fake: FoundryUpstream, word: str) -> None:
    fake.plan(said(200, {"status": word, "result": None, "details": {"Moderation Reasons": ["Violence", 1]}}))
    found = await failure(flux, generation("FLUX.2-pro"))
    stage = "input" if word.startswith("Request") else "output"
    certainty = Certainty.REJECTED if stage == "input" else Certainty.ANSWERED
    assert (found.kind, found.certainty) == (Kind.MODERATION, certainty)
    assert found.details == {"moderation_stage": stage, "categories": ["Violence"]}


async def test_a_model_without_an_address_is_not_sent(flux: Provider, fake: FoundryUpstream) -> None:
    found = await failure(flux, generation("FLUX.3"))
    assert (found.kind, found.certainty) == (Kind.NOT_FOUND, Certainty.NOT_SENT)
    assert "paths" in found.message
    assert not fake.calls


# -- MAI


async def test_mai_gets_a_size_in_two_numbers_and_its_tokens_come_in_openais_words(
    mai: Provider, fake: FoundryUpstream
) -> None:
    asked = generation("my-mai", size="1248x832", web_grounding=True)
    answer = await document(mai, asked)
    assert picture(answer).size == (1248, 832)
    assert answer["size"] == "1248x832"
    assert answer["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"text_tokens": 3, "image_tokens": 0},
        "output_tokens": 1014,
        "total_tokens": 1017,
    }
    (call,) = fake.posts
    assert call.target == "/mai/v1/images/generations"
    assert call.headers["api-key"] == fake.key
    assert call.fields == {
        "model": "my-mai", "prompt": "a red kite", "width": 1248, "height": 832, "web_grounding": True,
    }  # fmt: skip


async def test_mai_edits_one_picture_from_a_form(mai: Provider, fake: FoundryUpstream) -> None:
    answer = await document(mai, edit("my-mai", auto_aspect_ratio=False))
    assert picture(answer).size == (800, 768)
    usage = answer["usage"]
    assert isinstance(usage, dict)
    assert usage["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 600}
    assert fake.posts[0].fields == {"model": "my-mai", "prompt": "make it blue", "auto_aspect_ratio": "false"}


async def test_usage_that_comes_in_openais_words_stays(mai: Provider, fake: FoundryUpstream) -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    fake.plan(said(200, {"usage": usage, "data": [{"b64_json": "QUJD"}]}))
    assert (await document(mai, generation("my-mai")))["usage"] == usage


# -- both


@pytest.mark.parametrize("type", ["azure-flux", "azure-mai"])
async def test_a_token_of_entras_goes_as_bearer(
    client: UpstreamClient, fake: FoundryUpstream, type: str
) -> None:
    here = account({"type": type, "entra_token": "env:KEY", "base_url": fake.origin}, client, fake.token)
    model = "FLUX.2-pro" if type == "azure-flux" else "my-mai"
    assert (await document(here, generation(model)))["data"]
    assert fake.posts[0].headers["authorization"] == f"Bearer {fake.token}"
    assert "api-key" not in fake.posts[0].headers


@pytest.mark.parametrize("type", ["azure-flux", "azure-mai"])
def test_a_key_or_a_token_and_not_both(type: str) -> None:
    for given in ({}, {"api_key": "env:A", "entra_token": "env:B"}):
        with pytest.raises(ValidationError, match="exactly one of api_key and entra_token"):
            settings_of({"type": type, "base_url": "https://a.b", **given})


@pytest.fixture(params=["flux", "mai"])
def either(request: pytest.FixtureRequest) -> tuple[Provider, str]:
    model = "FLUX.2-pro" if request.param == "flux" else "my-mai"
    return request.getfixturevalue(request.param), model


async def test_a_large_picture_goes_past_in_pieces(either: tuple[Provider, str]) -> None:
    provider, model = either
    pieces = await pieces_of(provider, generation(model, "large"))
    assert len(pieces) > 5
    assert len(json.loads(b"".join(pieces))["data"][0]["b64_json"]) >= 4_000_000


async def test_the_content_filter_is_moderation(either: tuple[Provider, str]) -> None:
    provider, model = either
    found = await failure(provider, generation(model, "blocked"))
    assert (found.kind, found.certainty) == (Kind.MODERATION, Certainty.REJECTED)
    assert found.details == {"moderation_stage": "unknown", "categories": ["violence"]}


@pytest.mark.parametrize(
    ("reply", "kind", "certainty"),
    [
        (said(429, {"error": {"code": "429", "message": "Too many."}}, retry_after="7"),
         Kind.THROTTLED, Certainty.REJECTED),
        (said(403, {"error": {"code": "Forbidden", "message": "Blocked for policy behaviour."}}),
         Kind.AUTH, Certainty.REJECTED),
        (said(500, {"error": {"code": "500", "message": "Oh."}}), Kind.SERVER, Certainty.FAILED),
        (Reply(502, b"<html>"), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(408, b""), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(200, b'{"data":[{"b64_json":"iVBOR', {"content-type": "application/json"}),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b"<html>", {"content-type": "text/html"}), Kind.BAD_PAYLOAD, Certainty.ANSWERED),
    ],
)  # fmt: skip
async def test_what_goes_wrong_there_is_understood_here(
    either: tuple[Provider, str], fake: FoundryUpstream, reply: Reply, kind: Kind, certainty: Certainty
) -> None:
    provider, model = either
    fake.plan(reply)
    found = await failure(provider, generation(model))
    assert (found.kind, found.certainty) == (kind, certainty)
    assert found.retry_after == (7 if reply.status == 429 else None)
    assert len(fake.posts) == 1


async def test_an_error_in_a_200_is_passed_on_for_the_gateway_to_read(
    either: tuple[Provider, str], fake: FoundryUpstream
) -> None:
    provider, model = either
    fake.plan(said(200, {"created": 1, "error": {"code": "contentFilter", "message": "No."}}))
    answer = await document(provider, generation(model))
    assert (answer["data"], answer["error"]) == ([], {"code": "contentFilter", "message": "No."})


async def test_an_unknown_deployment_is_for_the_operator_and_a_wrong_key_is_not_shown(
    client: UpstreamClient, fake: FoundryUpstream, mai: Provider
) -> None:
    found = await failure(mai, generation("nobodys"))
    assert (found.kind, found.code) == (Kind.NOT_FOUND, "DeploymentNotFound")
    for type, model in (("azure-flux", "FLUX.2-pro"), ("azure-mai", "my-mai")):
        settings = {"type": type, "api_key": "env:KEY", "base_url": fake.origin}
        wrong = account(settings, client, "wrong-key-9876543210")
        found = await failure(wrong, generation(model))
        assert (found.kind, found.certainty) == (Kind.AUTH, Certainty.REJECTED)
        assert "9876543210" not in found.message


async def test_a_probe_buys_nothing(flux: Provider, mai: Provider, fake: FoundryUpstream) -> None:
    assert (await mai.probe()).models == ("gpt-image-2",)
    assert (await flux.probe()).key_accepted is True
    fake.key = "another"
    assert (await flux.probe()).key_accepted is False
    assert not fake.posts
