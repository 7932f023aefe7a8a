"""The OpenAI-dialect adapters against the fake OpenAI, which validates as the real one does."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from providers.base import Certainty, ImageRequest, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document
from tests.contract.pictures import pictures, png
from tests.simulators.behaviours import Behaviour, close, cut, error, html, reset
from tests.simulators.openai_upstream import Upstream
from tests.unit.providers.wire import body_of, failure, picture_file


@pytest.fixture
async def fake() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def made(settings: Mapping[str, object], client: UpstreamClient, fake: Upstream) -> Provider:
    return account(settings, client, fake.key, AZURE=fake.azure_key)


def openai(client: UpstreamClient, fake: Upstream, key: str = "env:KEY") -> Provider:
    return made({"type": "openai", "api_key": key, "base_url": fake.base_url}, client, fake)


def request(operation: str, model: str = "gpt-image-2", n_images: int = 1, **params: object) -> ImageRequest:
    edits = operation == "edits"
    images = [picture_file(png()) for _ in range(n_images if edits else 0)]
    mask = picture_file(png(mode="RGBA")) if n_images > 1 else None
    params = {"size": "1024x1024", "quality": "low", **params}
    return ImageRequest(Operation(operation), model, "a red kite", params, images, mask)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "openai", "api_key": "env:KEY"},
        {"type": "openai-compatible", "api_key": "env:KEY"},
        {"type": "azure-openai", "api_key": "env:AZURE"},
        {"type": "azure-openai", "api_key": "env:AZURE", "form": "deployments"},
    ],
)
@pytest.mark.parametrize(("operation", "n_images"), [("generations", 0), ("edits", 1), ("edits", 3)])
async def test_every_account_generates_and_edits(
    client: UpstreamClient, fake: Upstream, settings: dict[str, object], operation: str, n_images: int
) -> None:
    azure = settings["type"] == "azure-openai"
    here = made(settings | {"base_url": fake.origin if azure else fake.base_url}, client, fake)
    asked = request(operation, "img2-prod" if azure else "gpt-image-2", n_images, n=2)
    result = await here.send(asked, 10)
    said = json.loads(await body_of(result))
    assert len(said["data"]) == 2
    assert {each.size for each in pictures(said)} == {(1024, 1024)}
    assert said["usage"]["total_tokens"] > 0
    assert result.upstream_request_id


async def test_an_edit_by_data_url_is_accepted(client: UpstreamClient, fake: Upstream) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    images = [InputRef(url), picture_file(png())]
    asked = ImageRequest(Operation.EDIT, "gpt-image-2", "a pond", {"quality": "low"}, images)
    assert (await document(openai(client, fake), asked))["data"]


@pytest.mark.parametrize("operation", ["generations", "edits"])
async def test_a_stream_comes_through_to_its_last_event(
    client: UpstreamClient, fake: Upstream, operation: str
) -> None:
    result = await openai(client, fake).send(request(operation, stream=True, partial_images=2), 10)
    assert result.content_type == "text/event-stream"
    body = await body_of(result)
    assert body.count(b"\nevent: ") + body.startswith(b"event: ") == 3
    assert b".completed" in body
    assert body.endswith(b"\n\n")


@pytest.mark.parametrize(
    ("behaviour", "kind", "certainty"),
    [
        (error("rate_limit"), Kind.THROTTLED, Certainty.REJECTED),
        (html(502), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (html(504), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (reset(), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (close(), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (cut(200), Kind.BAD_PAYLOAD, Certainty.ANSWERED),
    ],
)
async def test_what_goes_wrong_there_is_understood_here(
    client: UpstreamClient, fake: Upstream, behaviour: Behaviour, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(behaviour)
    found = await failure(openai(client, fake), request("generations"))
    assert (found.kind, found.certainty) == (kind, certainty)
    assert len(fake.images) == 1


async def test_a_wrong_key_is_our_accounts_fault_and_not_shown(
    client: UpstreamClient, fake: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-wrong-0123456789abcdef")
    here = openai(client, fake, f"file:{tmp_path / 'key'}")
    found = await failure(here, request("generations"))
    assert (found.kind, found.certainty, found.code) == (Kind.AUTH, Certainty.REJECTED, "invalid_api_key")
    assert "sk-wrong" not in found.message
    assert "cdef" not in found.message
    probe = await here.probe()
    assert (probe.reachable, probe.key_accepted) == (True, False)


async def test_an_unknown_model_and_a_bad_size_keep_openais_words(
    client: UpstreamClient, fake: Upstream
) -> None:
    here = openai(client, fake)
    model = await failure(here, request("generations", "gpt-image-99"))
    assert (model.kind, model.param) == (Kind.NOT_FOUND, "model")
    size = await failure(here, request("generations", size="512x512"))
    assert (size.kind, size.param, size.status) == (Kind.INVALID, "size", 400)
    assert "512x512" in size.message


async def test_a_probe_lists_the_models(client: UpstreamClient, fake: Upstream) -> None:
    found = await openai(client, fake).probe()
    assert found.key_accepted is True
    assert "gpt-image-2" in found.models
    assert found.shutdowns["gpt-image-1.5"] == date(2026, 12, 1)
    assert "gpt-image-2" not in found.shutdowns
    assert fake.images == []
