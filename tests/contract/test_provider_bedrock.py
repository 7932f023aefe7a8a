"""The Bedrock adapter against a fake Bedrock, over real sockets; botocore's own code judges signatures."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from providers.base import Certainty, ImageRequest, InputFile, Kind, Operation, Provider
from providers.extras import ExtraMissing
from providers.http import UpstreamClient
from tests.contract.accounts import account, document, pieces_of, settings_of
from tests.contract.pictures import picture, png
from tests.simulators.bedrock_upstream import FIELDS, REGION, BedrockUpstream, exception
from tests.simulators.json_upstream import Reply
from tests.simulators.json_upstream import said as told
from tests.unit.providers.wire import body_of, failure, picture_file

CORE = "stability.stable-image-core-v1:1"
SD35 = "stability.sd3-5-large-v1:0"
SIGNED = {"access_key_id": "env:ACCESS", "secret_access_key": "env:SECRET"}


@pytest.fixture
async def fake() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as running:
        yield running


def made(client: UpstreamClient, fake: BedrockUpstream, **settings: str) -> Provider:
    given = {"type": "bedrock", "region": REGION, "base_url": fake.origin, **settings}
    secrets = {"ACCESS": fake.access_key, "SECRET": fake.secret_key, "TOKEN": "token/of+tests=="}
    return account(given, client, fake.key, **secrets)


@pytest.fixture
def bedrock(client: UpstreamClient, fake: BedrockUpstream) -> Provider:
    return made(client, fake, api_key="env:KEY")


def generation(prompt: str = "a red kite", model: str = CORE, **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


def edit(model: str, *pictures: InputFile, mask: bool = False, **params: object) -> ImageRequest:
    given = pictures or (picture_file(png(96, 80)),)
    drawn = picture_file(png(96, 80, "L")) if mask else None
    return ImageRequest(Operation.EDIT, model, "a red kite", params, given, drawn)


def service(name: str) -> str:
    return f"us.stability.{name}-v1:0"


async def test_a_picture_comes_in_openais_document(bedrock: Provider, fake: BedrockUpstream) -> None:
    asked = generation(aspect_ratio="16:9", seed=42, output_format="jpeg", negative_prompt="rain")
    result = await bedrock.send(asked, 10)
    found = json.loads(await body_of(result))
    assert set(found) == {"created", "data"}
    assert (picture(found).format, picture(found).size) == ("JPEG", (1344, 768))
    assert result.upstream_request_id == "5f2c-1"
    (call,) = fake.posts
    assert call.target == "/model/stability.stable-image-core-v1:1/invoke"
    assert call.fields == {
        "prompt": "a red kite", "aspect_ratio": "16:9", "seed": 42, "output_format": "jpeg",
        "negative_prompt": "rain",
    }  # fmt: skip


async def test_a_large_picture_goes_past_in_pieces(bedrock: Provider) -> None:
    pieces = await pieces_of(bedrock, generation("large"))
    assert len(pieces) > 5
    assert len(json.loads(b"".join(pieces))["data"][0]["b64_json"]) >= 4_000_000


@pytest.mark.parametrize("token", [None, "token/of+tests=="])
@pytest.mark.parametrize("model", [CORE, service("stable-image-inpaint")])
async def test_a_signature_is_one_that_aws_accepts(
    client: UpstreamClient, fake: BedrockUpstream, token: str | None, model: str
) -> None:
    fake.token = token
    signed = made(client, fake, **SIGNED, **({"session_token": "env:TOKEN"} if token else {}))
    asked = generation() if model == CORE else edit(model, mask=True)
    assert (await document(signed, asked))["data"]
    assert (await signed.probe()).key_accepted is True
    assert fake.calls[-1].method == "GET"
    assert all(call.headers["authorization"].startswith("AWS4-HMAC-SHA256 ") for call in fake.calls)


async def test_keys_come_from_awss_own_chain(
    client: UpstreamClient, fake: BedrockUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "credentials"
    shared.write_text(
        f"[pictures]\naws_access_key_id = {fake.access_key}\naws_secret_access_key = {fake.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    of_profile = made(client, fake, profile="pictures")
    assert (await document(of_profile, generation()))["data"]
    for missing in (made(client, fake), made(client, fake, profile="nobody")):
        found = await failure(missing, generation())
        assert (found.kind, found.certainty) == (Kind.AUTH, Certainty.NOT_SENT)
        assert "AWS credentials" in found.message
        looked = await missing.probe()
        assert (looked.reachable, looked.key_accepted) == (None, None)
        assert "AWS credentials" in looked.detail
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", fake.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", fake.secret_key)
    assert (await document(made(client, fake), generation()))["data"]


async def test_a_refused_signature_shows_no_secret(client: UpstreamClient, fake: BedrockUpstream) -> None:
    signed = made(client, fake, **SIGNED, session_token="env:TOKEN")
    fake.token, fake.secret_key = "token/of+tests==", "another"
    found = await failure(signed, generation())
    assert (found.kind, found.certainty, found.code) == (
        Kind.AUTH, Certainty.REJECTED, "InvalidSignatureException",
    )  # fmt: skip
    assert "signature" in found.message
    assert "token/of" not in found.message
    assert fake.access_key not in found.message


async def test_a_partners_words_for_refused_content_are_moderation(
    bedrock: Provider, fake: BedrockUpstream
) -> None:
    fake.plan(told(200, {"status": "Request Moderated", "details": {"Moderation Reasons": ["Violence"]}}))
    found = await failure(bedrock, generation())
    assert (found.kind, found.certainty) == (Kind.MODERATION, Certainty.REJECTED)
    assert found.details == {"moderation_stage": "input", "categories": ["Violence"]}


async def test_without_botocore_a_signed_account_says_what_to_install(
    client: UpstreamClient, fake: BedrockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'imagegate\[bedrock\]'"):
        made(client, fake, **SIGNED)
    keyed = made(client, fake, api_key="env:KEY")
    assert (await document(keyed, generation()))["data"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"access_key_id": "env:A"}, "both of access_key_id"),
        ({"session_token": "env:A"}, "session_token goes with"),
        ({"api_key": "env:A", "profile": "x"}, "not both"),
        ({"region": "Oregon"}, "region"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings_of({"type": "bedrock", "region": REGION, **settings})


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (edit(SD35, output_format="webp"), {"image", "prompt", "mode", "strength", "output_format"}),
        (edit(service("stable-image-inpaint"), mask=True, grow_mask=3),
         {"image", "mask", "prompt", "grow_mask"}),
        (edit(service("stable-outpaint"), left=200), {"image", "prompt", "left"}),
        (edit(service("stable-image-search-replace"), search_prompt="sky"),
         {"image", "prompt", "search_prompt"}),
        (edit(service("stable-image-search-recolor"), select_prompt="car"),
         {"image", "prompt", "select_prompt"}),
        (edit(service("stable-image-erase-object"), mask=True), {"image", "mask"}),
        (edit(service("stable-image-remove-background")), {"image"}),
        (edit(service("stable-image-control-sketch")), {"image", "prompt"}),
        (edit(service("stable-image-control-structure"), control_strength=0.4),
         {"image", "prompt", "control_strength"}),
        (edit(service("stable-image-style-guide"), aspect_ratio="3:2"), {"image", "prompt", "aspect_ratio"}),
        (edit(service("stable-style-transfer"), picture_file(png()), picture_file(png())),
         {"init_image", "style_image", "prompt"}),
        (edit(service("stable-creative-upscale"), creativity=0.2), {"image", "prompt", "creativity"}),
        (edit(service("stable-conservative-upscale")), {"image", "prompt"}),
        (edit(service("stable-fast-upscale")), {"image"}),
    ],
)  # fmt: skip
async def test_every_service_gets_its_own_fields(
    bedrock: Provider, fake: BedrockUpstream, asked: ImageRequest, sent: set[str]
) -> None:
    assert len((await document(bedrock, asked))["data"]) == 1
    assert set(fake.posts[0].fields) == sent


def test_every_model_of_the_fake_is_in_the_catalog_and_none_besides() -> None:
    from config.catalog import load_catalog

    assert {entry.id for entry in load_catalog().served_by("bedrock")} == set(FIELDS)


async def test_a_picture_for_which_there_is_no_field_is_never_left_out_in_silence(
    bedrock: Provider, fake: BedrockUpstream
) -> None:
    found = await failure(bedrock, edit(SD35, picture_file(png()), picture_file(png())))
    assert (found.kind, found.certainty, found.param) == (Kind.INVALID, Certainty.NOT_SENT, "image")
    assert not fake.calls


async def test_a_body_beyond_what_aws_takes_is_not_sent(bedrock: Provider, fake: BedrockUpstream) -> None:
    found = await failure(bedrock, edit(SD35, picture_file(bytes(19_000_000))))
    assert (found.kind, found.certainty, found.param) == (Kind.INVALID, Certainty.NOT_SENT, "image")
    assert "25000000" in found.message
    assert not fake.calls


@pytest.mark.parametrize(
    ("prompt", "kind", "certainty", "stage"),
    [
        ("blocked", Kind.MODERATION, Certainty.REJECTED, "input"),
        ("withheld", Kind.MODERATION, Certainty.ANSWERED, "output"),
        ("broken", Kind.SERVER, Certainty.FAILED, None),
    ],
)
async def test_what_a_200_says_of_filters_and_failures_is_understood(
    bedrock: Provider, prompt: str, kind: Kind, certainty: Certainty, stage: str | None
) -> None:
    found = await failure(bedrock, generation(prompt))
    assert (found.kind, found.certainty) == (kind, certainty)
    assert (found.details or {}).get("moderation_stage") == stage


@pytest.mark.parametrize(
    ("name", "kind", "certainty"),
    [
        ("ValidationException", Kind.INVALID, Certainty.REJECTED),
        ("ServiceQuotaExceededException", Kind.THROTTLED, Certainty.REJECTED),
        ("AccessDeniedException", Kind.AUTH, Certainty.REJECTED),
        ("ResourceNotFoundException", Kind.NOT_FOUND, Certainty.REJECTED),
        ("ModelTimeoutException", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        ("ModelErrorException", Kind.SERVER, Certainty.FAILED),
        ("ThrottlingException", Kind.THROTTLED, Certainty.REJECTED),
        ("ModelNotReadyException", Kind.OVERLOADED, Certainty.REJECTED),
        ("InternalServerException", Kind.SERVER, Certainty.FAILED),
        ("ServiceUnavailableException", Kind.OVERLOADED, Certainty.REJECTED),
    ],
)
async def test_every_exception_has_its_meaning(
    bedrock: Provider, fake: BedrockUpstream, name: str, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(exception(name))
    found = await failure(bedrock, generation())
    assert (found.kind, found.certainty, found.code) == (kind, certainty, name)
    assert found.upstream_request_id == "5f2c-refused"
    assert len(fake.posts) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "certainty"),
    [
        (exception("ValidationException", "This request has been blocked by our content filters."),
         Kind.MODERATION, Certainty.REJECTED),
        (Reply(502, b"<html>", {"content-type": "text/html"}), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(429, b"{}", {"retry-after": "3"}), Kind.THROTTLED, Certainty.REJECTED),
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(200, b'{"images":["iVBORw0KGgo', {"content-type": "application/json"}),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b"[]", {"content-type": "application/json"}), Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b"{" + b" " * 500, {"content-type": "application/json"}, cut=300),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
    ],
)  # fmt: skip
async def test_what_goes_wrong_on_the_way_is_understood(
    bedrock: Provider, fake: BedrockUpstream, reply: Reply, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(reply)
    found = await failure(bedrock, generation())
    assert (found.kind, found.certainty) == (kind, certainty)


async def test_an_unknown_model_is_told_apart_from_a_bad_field(bedrock: Provider) -> None:
    assert (await failure(bedrock, generation(model="stability.sd9-v1:0"))).kind is Kind.NOT_FOUND
    bad = await failure(bedrock, generation(style_preset="anime"))
    assert (bad.kind, bad.status) == (Kind.INVALID, 400)
    assert "style_preset" in bad.message


async def test_a_probe_asks_for_the_models_and_buys_nothing(
    bedrock: Provider, client: UpstreamClient, fake: BedrockUpstream
) -> None:
    found = await bedrock.probe()
    assert (found.reachable, found.key_accepted) == (True, True)
    assert CORE in found.models
    fake.key = "another"
    assert (await bedrock.probe()).key_accepted is False
    assert not fake.posts


def test_the_models_are_asked_of_the_control_plane(client: UpstreamClient, fake: BedrockUpstream) -> None:
    host = "https://bedrock-runtime-fips.us-west-2.amazonaws.com"
    here = made(client, fake, api_key="env:KEY", base_url=host)
    assert here.models_url() == "https://bedrock-fips.us-west-2.amazonaws.com/foundation-models"  # type: ignore[attr-defined]
