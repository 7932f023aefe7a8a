"""The Vertex adapter against a fake of Google Cloud: tokens, Gemini's wire there, and Imagen's."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from providers.base import Certainty, ImageRequest, Kind, Operation, Provider
from providers.extras import ExtraMissing
from providers.http import UpstreamClient
from tests.contract.accounts import account, document
from tests.contract.pictures import pictures, png
from tests.simulators.google_upstream import PROJECT, TOKEN, GoogleUpstream, fault
from tests.unit.providers.wire import failure, free_port, picture_file

FLASH = "gemini-3.1-flash-image"
IMAGEN = "imagen-4.0-generate-001"
CLOUD = {"type": "vertex", "project": PROJECT}


@pytest.fixture
async def fake() -> AsyncIterator[GoogleUpstream]:
    async with GoogleUpstream() as running:
        yield running


def made(client: UpstreamClient, fake: GoogleUpstream, **more: Any) -> Provider:
    settings = {**CLOUD, "base_url": fake.origin, "imagen": True, **more}
    if not {"access_token", "service_account_key"} & settings.keys():
        settings["access_token"] = "env:TOKEN"
    bad = '{"type": "service_account"}'
    return account(settings, client, fake.service_account(), TOKEN=TOKEN, BAD=bad)


@pytest.fixture
def vertex(client: UpstreamClient, fake: GoogleUpstream) -> Provider:
    return made(client, fake)


def generation(prompt: str = "a red kite", model: str = FLASH, **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


def edit(prompt: str, model: str, *, masked: bool = False, **params: object) -> ImageRequest:
    mask = picture_file(png()) if masked else None
    return ImageRequest(Operation.EDIT, model, prompt, params, [picture_file(png())], mask)


def shapes(told: dict[str, Any]) -> list[tuple[str | None, tuple[int, int]]]:
    return [(each.format, each.size) for each in pictures(told)]


async def test_what_only_the_cloud_takes_is_sent_in_its_words(vertex: Provider, fake: GoogleUpstream) -> None:
    told = await document(
        vertex,
        generation(
            aspect_ratio="9:21",
            resolution="1K",
            output_format="jpeg",
            output_compression=80,
            person_generation="allow_adult",
        ),
    )
    assert shapes(told) == [("JPEG", (672, 1584))]
    assert told["output_format"] == "jpeg"
    assert fake.posts[0].fields["generationConfig"]["imageConfig"] == {  # type: ignore[index]
        "aspectRatio": "9:21",
        "imageSize": "1K",
        "personGeneration": "ALLOW_ADULT",
        "imageOutputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80},
    }


async def test_the_path_names_project_location_and_model(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    await document(made(client, fake, location="europe-west1"), generation())
    where = f"/v1/projects/{PROJECT}/locations/europe-west1/publishers/google/models/{FLASH}:generateContent"
    assert fake.posts[0].path == where


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_own_host(
    client: UpstreamClient, fake: GoogleUpstream, location: str, host: str
) -> None:
    provider = made(client, fake, location=location, base_url=None)
    assert provider.base_url == host  # type: ignore[attr-defined]


async def test_a_service_accounts_key_is_turned_into_a_token_once(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    provider = made(client, fake, service_account_key="env:KEY")
    for _ in range(2):
        await document(provider, generation())
    assert [call.path.rpartition("/")[2] for call in fake.posts] == [
        "token",
        f"{FLASH}:generateContent",
        f"{FLASH}:generateContent",
    ]
    assert fake.posts[1].headers["authorization"].startswith("Bearer ya29.issued-")


async def test_a_token_never_shows_in_a_message(client: UpstreamClient, fake: GoogleUpstream) -> None:
    provider = made(client, fake, service_account_key="env:KEY")
    await document(provider, generation())
    token = fake.posts[1].headers["authorization"].removeprefix("Bearer ")
    fake.plan(fault(400, "INVALID_ARGUMENT", f"Something about {token}."))
    assert token not in (await failure(provider, generation())).message


async def test_a_refused_token_is_the_accounts_fault(client: UpstreamClient, fake: GoogleUpstream) -> None:
    fake.tokens.clear()
    error = await failure(made(client, fake), generation())
    assert (error.kind, error.certainty) == (Kind.AUTH, Certainty.REJECTED)


async def test_a_refused_key_sends_no_call(client: UpstreamClient, fake: GoogleUpstream) -> None:
    provider = made(client, fake, service_account_key="env:KEY")
    refused = fault(400, "X", "x")
    fake.plan(refused, refused, refused)
    error = await failure(provider, generation())
    assert (error.kind, error.certainty) == (Kind.AUTH, Certainty.NOT_SENT)
    assert {call.path for call in fake.posts} == {"/token"}


async def test_a_token_service_that_is_away_sends_no_call(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    key = json.loads(fake.service_account()) | {"token_uri": f"http://127.0.0.1:{free_port()}/token"}
    provider = account({**CLOUD, "service_account_key": "env:KEY"}, client, json.dumps(key))
    error = await failure(provider, generation())
    assert (error.kind, error.certainty) == (Kind.SERVER, Certainty.NOT_SENT)


async def test_a_machine_without_credentials_is_told_what_to_name(
    client: UpstreamClient, fake: GoogleUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    error = await failure(account({**CLOUD, "base_url": fake.origin}, client), generation())
    assert (error.kind, error.certainty) == (Kind.AUTH, Certainty.NOT_SENT)
    assert "service_account_key" in error.message


async def test_the_machines_own_credentials_are_found(
    client: UpstreamClient, fake: GoogleUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_text(fake.service_account())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    told = await document(account({**CLOUD, "base_url": fake.origin}, client), generation())
    assert shapes(told) == [("PNG", (1024, 1024))]


def test_a_key_that_is_none_is_refused_without_its_words(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    with pytest.raises(ValueError, match="holds no JSON key of a service account"):
        made(client, fake, service_account_key="env:BAD")
    with pytest.raises(ValidationError, match="not both"):
        made(client, fake, service_account_key="env:KEY", access_token="env:TOKEN")


async def test_imagen_makes_several_pictures_a_call(vertex: Provider, fake: GoogleUpstream) -> None:
    request = generation(model=IMAGEN, n=2, aspect_ratio="16:9", resolution="2K", output_format="jpeg")
    told = await document(vertex, request)
    assert shapes(told) == [("JPEG", (2816, 1536))] * 2
    assert told["output_format"] == "jpeg"
    assert "usage" not in told


async def test_imagen_edits_with_a_mask_as_a_second_reference(vertex: Provider, fake: GoogleUpstream) -> None:
    model = "imagen-3.0-capability-001"
    assert len(pictures(await document(vertex, edit("a hat", model, masked=True)))) == 1
    assert len(pictures(await document(vertex, edit("a hat", model)))) == 1
    modes = [call.fields["parameters"]["editMode"] for call in fake.posts]  # type: ignore[index]
    assert modes == ["EDIT_MODE_INPAINT_INSERTION", "EDIT_MODE_DEFAULT"]


async def test_slots_that_imagen_filtered_are_missing(vertex: Provider) -> None:
    assert len(pictures(await document(vertex, generation("partly", model=IMAGEN, n=3)))) == 2


@pytest.mark.parametrize(
    ("prompt", "certainty", "stage", "category"),
    [
        ("filtered", Certainty.ANSWERED, "output", "violence"),
        ("prohibited", Certainty.REJECTED, "input", "child"),
    ],
)
async def test_imagens_support_codes_say_what_was_refused(
    vertex: Provider, prompt: str, certainty: Certainty, stage: str, category: str
) -> None:
    error = await failure(vertex, generation(prompt, model=IMAGEN))
    assert (error.kind, error.certainty) == (Kind.MODERATION, certainty)
    assert error.details == {"moderation_stage": stage, "categories": [category]}


async def test_imagen_is_off_until_the_account_says_that_it_has_it(
    client: UpstreamClient, fake: GoogleUpstream
) -> None:
    error = await failure(made(client, fake, imagen=False), generation(model=IMAGEN))
    assert (error.kind, error.certainty) == (Kind.NOT_FOUND, Certainty.NOT_SENT)
    assert "imagen: true" in error.message
    assert fake.posts == []


async def test_the_probe_is_free(vertex: Provider, fake: GoogleUpstream) -> None:
    found = await vertex.probe()
    assert (found.reachable, found.key_accepted) == (True, True)
    fake.tokens.clear()
    assert (await vertex.probe()).key_accepted is False
    assert fake.posts == []


async def test_without_google_auth_an_account_says_what_to_install_unless_it_has_a_token(
    client: UpstreamClient, fake: GoogleUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'imagegate\[vertex\]'"):
        made(client, fake, service_account_key="env:KEY")
    assert (await document(made(client, fake), generation()))["data"]
