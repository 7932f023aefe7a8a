"""Each adapter against a real socket: its path, its headers and its body, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from config.accounts.kinds import provider_types
from config.secrets import SecretMissing
from config.upstream import UpstreamSettings
from providers.base import Certainty, ImageRequest, InputRef, Kind, Operation, Provider
from providers.http import UpstreamClient
from providers.registry import ADAPTERS, build
from tests.contract.accounts import settings_of
from tests.unit.providers.wire import (
    OK,
    Call,
    answers,
    body_of,
    failure,
    generation,
    picture_file,
    upstream,
)

BEARER = {"authorization": "Bearer sk-test-0123456789"}
ENVIRON = {
    "KEY": "sk-test-0123456789",
    "AZURE": "0123456789abcdef",
    "TOKEN": "eyJ.token",
    "EXTRA": "hidden-value",
}
SENT_ALWAYS = {"host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"}

OPENAI = {"type": "openai", "api_key": "env:KEY"}
AZURE = {"type": "azure-openai", "api_key": "env:AZURE"}
COMPATIBLE = {"type": "openai-compatible"}


def provider(settings: Mapping[str, object], client: UpstreamClient, base_url: str) -> Provider:
    config = settings_of({**settings, "base_url": base_url})
    return build("acme", config, client, base=Path(), environ=ENVIRON)


EDIT = ImageRequest(Operation.EDIT, "img2 prod", "a pond", {"n": 1}, [picture_file(b"PNG")])


@pytest.mark.parametrize(
    ("settings", "suffix", "operation", "target", "signed"),
    [
        (
            OPENAI,
            "/v1",
            "generations",
            "/v1/images/generations",
            BEARER,
        ),
        (OPENAI, "/v1/", "edits", "/v1/images/edits", BEARER),
        (
            OPENAI | {"organization": "org-1", "project": "proj_1"},
            "/v1",
            "generations",
            "/v1/images/generations",
            {
                "authorization": "Bearer sk-test-0123456789",
                "openai-organization": "org-1",
                "openai-project": "proj_1",
            },
        ),
        (AZURE, "", "generations", "/openai/v1/images/generations", {"api-key": "0123456789abcdef"}),
        (AZURE, "/openai/v1/", "edits", "/openai/v1/images/edits", {"api-key": "0123456789abcdef"}),
        (
            AZURE | {"api_version": "preview"},
            "",
            "edits",
            "/openai/v1/images/edits?api-version=preview",
            {"api-key": "0123456789abcdef"},
        ),
        (
            AZURE | {"form": "deployments"},
            "",
            "generations",
            "/openai/deployments/img2%20prod/images/generations?api-version=2025-04-01-preview",
            {"api-key": "0123456789abcdef"},
        ),
        (
            {"type": "azure-openai", "entra_token": "env:TOKEN", "form": "deployments", "api_version": "v"},
            "/openai",
            "edits",
            "/openai/deployments/img2%20prod/images/edits?api-version=v",
            {"authorization": "Bearer eyJ.token"},
        ),
        (COMPATIBLE, "/api/v1", "generations", "/api/v1/images/generations", {}),
        (
            COMPATIBLE | {"api_key": "env:KEY", "headers": {"X-Team": "blue", "X-Pass": "env:EXTRA"}},
            "/v1",
            "edits",
            "/v1/images/edits",
            {"authorization": "Bearer sk-test-0123456789", "x-team": "blue", "x-pass": "hidden-value"},
        ),
    ],
)
async def test_path_and_headers(
    client: UpstreamClient,
    settings: Mapping[str, object],
    suffix: str,
    operation: str,
    target: str,
    signed: Mapping[str, str],
) -> None:
    request = EDIT if operation == "edits" else ImageRequest(Operation.GENERATE, "img2 prod", "a pond")
    async with upstream(answers()) as there:
        result = await provider(settings, client, there.url + suffix).send(request, 5)
        assert json.loads(await body_of(result)) == OK
    (call,) = there.calls
    assert (call.method, call.target) == ("POST", target)
    assert call.names == SENT_ALWAYS | set(signed)
    assert {name: call.header(name) for name in signed} == signed
    assert call.header("user-agent") == f"imagegate/{version('imagegate')}"
    assert call.header("accept") == "application/json"
    assert call.header("accept-encoding") == "identity"
    assert call.header("content-length") == str(len(call.body))


async def test_the_deployment_is_named_in_the_body_or_in_the_path_but_not_in_both(
    client: UpstreamClient,
) -> None:
    async with upstream(answers()) as there:
        for form in ("v1", "deployments"):
            here = provider(AZURE | {"form": form}, client, there.url)
            await body_of(await here.send(generation(), 5))
            await body_of(await here.send(EDIT, 5))
    v1, v1_edit, deployments, deployments_edit = there.calls
    assert json.loads(v1.body)["model"] == "gpt-image-2"
    assert b'name="model"\r\n\r\nimg2 prod\r\n' in v1_edit.body
    assert "model" not in json.loads(deployments.body)
    assert b'name="model"' not in deployments_edit.body


@pytest.mark.parametrize(("settings", "forwarded"), [(OPENAI, False), (AZURE, False), (COMPATIBLE, True)])
async def test_response_format_is_not_for_openais_own_models(
    client: UpstreamClient, settings: Mapping[str, object], forwarded: bool
) -> None:
    async with upstream(answers()) as there:
        here = provider(settings, client, there.url)
        await body_of(await here.send(generation(response_format="b64_json", size="auto"), 5))
    sent = json.loads(there.calls[0].body)
    assert ("response_format" in sent) is forwarded
    assert sent["size"] == "auto"


async def test_an_edit_by_url_is_sent_as_json(client: UpstreamClient) -> None:
    request = ImageRequest(Operation.EDIT, "m", "p", {}, [InputRef("https://example.org/a.png")])
    async with upstream(answers()) as there:
        await body_of(await provider(OPENAI, client, there.url).send(request, 5))
    assert there.calls[0].header("content-type") == "application/json"
    assert json.loads(there.calls[0].body)["images"] == [{"image_url": "https://example.org/a.png"}]


async def test_a_stream_is_asked_for_and_relayed_as_it_comes(client: UpstreamClient) -> None:
    first, second = b"event: a\ndata: {}\n\n", b"event: b\ndata: {}\n\n"
    go_on = asyncio.Event()

    async def streams(call: Call) -> None:
        await call.read()
        await call.say(200, first, {"content-type": "text/event-stream; charset=utf-8", "content-length": ""})
        await go_on.wait()
        call.writer.write(second)
        await call.writer.drain()
        call.writer.close()

    async with upstream(streams) as there:
        result = await provider(OPENAI, client, there.url).send(generation(stream=True), 5)
        assert result.content_type == "text/event-stream"
        assert await anext(result.body) == first
        go_on.set()
        assert b"".join([chunk async for chunk in result.body]) == second
        await result.aclose()
    assert there.calls[0].header("accept") == "text/event-stream"
    assert json.loads(there.calls[0].body)["stream"] is True


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "image/png"])
async def test_a_success_that_is_no_json_is_a_bad_payload(
    client: UpstreamClient, content_type: str, stream: bool
) -> None:
    async with upstream(
        answers(200, b"<html>", {"content-type": content_type, "x-request-id": "r1"})
    ) as there:
        error = await failure(provider(OPENAI, client, there.url), generation(stream=stream))
    assert (error.kind, error.certainty, error.status) == (Kind.BAD_PAYLOAD, Certainty.ANSWERED, 200)
    assert error.upstream_request_id == "r1"


async def test_events_nobody_asked_for_are_a_bad_payload(client: UpstreamClient) -> None:
    async with upstream(answers(200, b"data: {}\n\n", {"content-type": "text/event-stream"})) as there:
        error = await failure(provider(OPENAI, client, there.url), generation())
    assert (error.kind, error.certainty) == (Kind.BAD_PAYLOAD, Certainty.ANSWERED)


async def test_only_headers_of_use_come_back(client: UpstreamClient) -> None:
    said = {
        "x-request-id": "req_9",
        "x-ratelimit-remaining-requests": "4",
        "openai-processing-ms": "12",
        "openai-organization": "org-secret",
        "set-cookie": "a=b",
    }
    async with upstream(answers(headers=said)) as there:
        result = await provider(OPENAI, client, there.url).send(generation(), 5)
        await body_of(result)
    assert result.upstream_request_id == "req_9"
    assert set(result.headers) == {"x-ratelimit-remaining-requests", "openai-processing-ms", "content-length"}


@pytest.mark.parametrize("operation", ["generations", "edits"])
async def test_text_that_no_encoding_has_is_refused_before_anything_is_sent(
    client: UpstreamClient, operation: str
) -> None:
    request = ImageRequest(Operation(operation), "m", "\ud800", {}, EDIT.images)
    async with upstream(answers()) as there:
        error = await failure(provider(OPENAI, client, there.url), request)
        assert there.calls == []
    assert (error.kind, error.certainty) == (Kind.INVALID, Certainty.NOT_SENT)


async def test_a_refusals_words_come_without_keys_and_prompt(client: UpstreamClient) -> None:
    prompt = "a very private wish about my garden"
    message = f"Key sk-test-0123456789 and hidden-value refused: {prompt}"
    body = {"error": {"message": message, "type": "t", "param": None, "code": "c"}}
    async with upstream(answers(400, body)) as there:
        settings = COMPATIBLE | {"api_key": "env:KEY", "headers": {"x-pass": "env:EXTRA"}}
        error = await failure(provider(settings, client, there.url), generation(prompt))
    assert error.message == "Key [key] and [key] refused: [prompt]"


async def test_a_refusal_is_read_up_to_a_cap_and_no_longer_than_the_deadline(client: UpstreamClient) -> None:
    async def endless(call: Call) -> None:
        await call.read()
        await call.say(500, b'{"error":{"message":"', {"content-length": "", "connection": "close"})
        while True:
            call.writer.write(b"x" * 65536)
            await call.writer.drain()

    async def stalls(call: Call) -> None:
        await call.read()
        await call.say(429, b'{"error"', {"content-length": "500", "retry-after": "3"})
        await asyncio.sleep(5)

    async with upstream(endless) as there:
        error = await asyncio.wait_for(failure(provider(OPENAI, client, there.url), generation()), 3)
    assert error.certainty is Certainty.MAYBE_ACCEPTED
    async with upstream(stalls) as there:
        error = await asyncio.wait_for(failure(provider(OPENAI, client, there.url), generation(), 0.4), 3)
    assert (error.kind, error.certainty, error.retry_after) == (Kind.THROTTLED, Certainty.REJECTED, 3.0)


MODELS = {"object": "list", "data": [{"id": "gpt-image-2", "object": "model"}, {"id": "other"}]}


class TestProbe:
    @pytest.mark.parametrize(
        ("settings", "suffix", "target"),
        [
            (OPENAI, "/v1", "/v1/models"),
            (AZURE, "", "/openai/v1/models"),
            (AZURE | {"form": "deployments"}, "", "/openai/models?api-version=2025-04-01-preview"),
            (COMPATIBLE, "/v1", "/v1/models"),
        ],
    )
    async def test_it_lists_models_and_buys_nothing(
        self, client: UpstreamClient, settings: Mapping[str, object], suffix: str, target: str
    ) -> None:
        async with upstream(answers(body=MODELS)) as there:
            found = await provider(settings, client, there.url + suffix).probe()
        assert [(call.method, call.target) for call in there.calls] == [("GET", target)]
        assert found.reachable
        assert found.models == ("gpt-image-2", "other")
        assert found.key_accepted is (None if settings is COMPATIBLE else True)

    async def test_it_tells_a_refused_key_from_an_unreachable_host(self, client: UpstreamClient) -> None:
        async with upstream(answers(401, {"error": {"message": "no"}})) as there:
            refused = await provider(OPENAI, client, there.url).probe()
        gone = await provider(OPENAI, client, "http://127.0.0.1:9").probe()
        assert (refused.reachable, refused.key_accepted) == (True, False)
        assert (gone.reachable, gone.key_accepted) == (False, None)
        assert "refused" in gone.detail

    @pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<html>"), (200, b'{"data":7}')])
    async def test_an_odd_answer_proves_only_that_somebody_is_there(
        self, client: UpstreamClient, status: int, body: bytes
    ) -> None:
        async with upstream(answers(status, body)) as there:
            found = await provider(COMPATIBLE, client, there.url).probe()
        assert (found.reachable, found.key_accepted, found.models) == (True, None, ())
        assert found.detail


class TestRegistry:
    def test_every_type_of_the_schema_has_an_adapter(self) -> None:
        assert set(provider_types()) == set(ADAPTERS)
        assert all(name == adapter.type for name, adapter in ADAPTERS.items())  # type: ignore[attr-defined]

    @pytest.mark.parametrize("settings", [OPENAI, AZURE, COMPATIBLE | {"api_key": "env:KEY"}])
    def test_a_missing_key_is_named(self, settings: Mapping[str, object]) -> None:
        config = settings_of({**settings, "base_url": "https://example.org"})
        with pytest.raises(SecretMissing) as missing:
            build("acme", config, UpstreamSettings(), base=Path(), environ={})
        assert missing.value.source in ENVIRON

    def test_a_key_in_a_file_is_found_from_the_configs_folder(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("sk-from-file\n")
        config = settings_of({"type": "openai", "api_key": "file:key"})
        made = build("acme", config, UpstreamSettings(), base=tmp_path)
        assert isinstance(made, Provider)
        assert (made.name, made.type) == ("acme", "openai")

    @pytest.mark.parametrize(
        "url", ["ftp://x", "example.org/v1", "https://me:pw@example.org", "https://x/v1?a=b"]
    )
    def test_a_base_url_that_cannot_work_is_refused_without_showing_it(
        self, client: UpstreamClient, url: str
    ) -> None:
        with pytest.raises(ValueError, match=r"providers\.acme\.base_url") as refused:
            provider(COMPATIBLE, client, url)
        assert "pw" not in str(refused.value)

    async def test_a_client_of_its_own_is_closed_with_the_provider_and_a_shared_one_is_not(
        self, client: UpstreamClient
    ) -> None:
        async with upstream(answers()) as there:
            shared = provider(COMPATIBLE, client, there.url)
            await body_of(await shared.send(generation(), 5))
            await shared.aclose()
            assert await body_of(await shared.send(generation(), 5))
            config = settings_of(COMPATIBLE | {"base_url": there.url})
            own = build("own", config, UpstreamSettings(), base=Path())
            await body_of(await own.send(generation(), 5))
            await own.aclose()
            with pytest.raises(Exception, match="could not be sent"):
                await own.send(generation(), 5)
