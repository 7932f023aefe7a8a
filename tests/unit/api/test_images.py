"""From a good request to its last byte, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
from openai import OpenAI

from config.catalog import load_catalog
from config.schema import Settings
from gateway.api.understanding import Understanding
from gateway.errors import Unavailable
from gateway.images.call import ImageCall
from gateway.media.uploads import MEMORY
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from providers.base import InputFile, InputRef
from tests.unit.api.serving import (
    KEY,
    PNG,
    FakeEngine,
    FakeKeys,
    face,
    file,
    settings_with,
    text,
    uploads_left,
)

BASICS = (text("model", "gpt-image-2"), text("prompt", "a dot"))


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(holds())


def test_json_and_forms_make_equal_calls() -> None:
    with face() as server:
        server.generate(n=2, size="1024x1024", stream=False, user=None, response_format="b64_json")
        call = server.engine.calls[0]
        assert call == ImageCall(
            call.operation, "gpt-image-2", "a dot", {"n": 2, "size": "1024x1024", "stream": False}
        )
        server.edit_form(*BASICS, text("n", "2"), text("stream", "false"), file("image"))
        url = "data:image/png;base64," + base64.b64encode(PNG).decode()
        fields = {"model": "gpt-image-2", "prompt": "a dot", "n": 2, "stream": False}
        server.post_json("/v1/images/edits", {**fields, "images": [{"image_url": url}]})
        form, sent = server.engine.calls[1:]
        assert (form.params, form.prompt, form.model) == (sent.params, sent.prompt, sent.model)
        assert list(sent.images) == [InputRef(url)]
        assert server.engine.read == [PNG]


def test_long_words_of_any_encoding_are_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    reading = Understanding.call

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return reading(*arguments)

    monkeypatch.setattr(Understanding, "call", watched)
    long = base64.b64encode(PNG + bytes(300_000)).decode()
    with face() as server:
        assert server.edit_form(*BASICS, text("image", long)).status == 200
        body = {"model": "gpt-image-2", "prompt": "a dot", "image": long}
        assert server.post_json("/v1/images/edits", body).status == 200
        assert server.edit_form(*BASICS, file("image", PNG + bytes(300_000))).status == 200
    assert [name.startswith("asyncio_") for name in threads] == [True, True, False]


def test_the_engine_is_told_who_asks_and_as_what() -> None:
    with face() as server:
        reply = server.request(
            "POST",
            "/v1/images/generations",
            json.dumps({"model": "sandbox", "prompt": "x"}).encode(),
            {"content-type": "application/json; charset=UTF-8", "x-client-request-id": "mine-1"},
        )
        facts = server.engine.facts[0]
        assert facts.request_id == reply.headers["x-request-id"]
        assert facts.client_request_id == "mine-1"
        assert facts.received_at.utcoffset() is not None
        assert server.engine.callers[0].key_name == "ci"
        assert facts.notes["project"] == "growth-team"


def test_files_keep_order_names_and_bytes_whatever_their_size(tmp_path: Any) -> None:
    large = PNG + bytes(range(256)) * 12_000
    assert len(large) > 2 * MEMORY
    with face(settings_with(tmp_path)) as server:
        reply = server.edit_form(
            *BASICS,
            file("image[]", large, "upload", "application/octet-stream"),
            file("image[]", PNG, "päth/to\\a b.png", None),
            file("image[1]", PNG, 'we"ird'.replace('"', "%22"), "image/jpeg"),
            file("mask", PNG),
        )
        assert reply.status == 200
        call = server.engine.calls[0]
        assert server.engine.read == [large, PNG, PNG]
        assert [image.filename for image in call.images if isinstance(image, InputFile)] == [
            "upload.png",
            "a_b.png",
            "we_ird.png",
        ]
        assert {image.content_type for image in call.images if isinstance(image, InputFile)} == {"image/png"}
        assert isinstance(call.mask, InputFile)
        with pytest.raises(ValueError, match="closed"):
            call.mask.open()
        assert eventually(lambda: not uploads_left(tmp_path))


def test_a_large_file_is_on_disk_while_the_engine_works_and_gone_after(tmp_path: Any) -> None:
    seen: list[list[str]] = []

    async def look(call: ImageCall) -> None:
        seen.append(uploads_left(tmp_path))

    with face(settings_with(tmp_path), engine=FakeEngine(work=look)) as server:
        assert server.edit_form(*BASICS, file("image", PNG + bytes(3 * MEMORY))).status == 200
        assert len(seen[0]) == 1
        assert seen[0][0].endswith("(deleted)")
        assert eventually(lambda: not uploads_left(tmp_path))


def test_files_are_given_back_when_the_engine_fails(tmp_path: Any) -> None:
    async def fail(call: ImageCall) -> None:
        raise Unavailable("Not now.", retry_after=3)

    with face(settings_with(tmp_path), engine=FakeEngine(work=fail)) as server:
        reply = server.edit_form(*BASICS, file("image", PNG + bytes(2 * MEMORY)))
        assert (reply.status, reply.headers["retry-after"], reply.headers["x-should-retry"]) == (
            503,
            "3",
            "true",
        )
        assert eventually(lambda: not uploads_left(tmp_path))


def test_an_answer_is_delivered_once_with_its_length() -> None:
    with face() as server:
        reply = server.generate()
        assert reply.headers["content-length"] == "2"
        assert reply.headers["content-type"] == "application/json"
        assert eventually(lambda: server.engine.delivered)
        assert server.engine.delivered == [True]


def test_events_flow_as_they_come() -> None:
    had = [0]

    async def events() -> AsyncIterator[bytes]:
        for number in range(3):
            while had[0] < number:  # none is made before its client has the one before
                await asyncio.sleep(0.005)
            yield b"event: n\ndata: {}\n\n"

    with face(engine=FakeEngine(chunks=events, length=None)) as server, server.connect() as link:
        body = b'{"model":"gpt-image-2","prompt":"x","stream":true}'
        head = f"POST /v1/images/generations HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body)
        received = b""
        while b"0\r\n\r\n" not in received:
            received += link.recv(65_536)
            had[0] = received.count(b"event: n")
        assert b"cache-control: no-cache" in received
        assert b"content-encoding" not in received
        assert had == [3]
        assert eventually(lambda: server.engine.delivered == [True])


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65_536)
        await asyncio.sleep(0)


def test_a_slow_reader_holds_the_answer_back() -> None:
    given = [0]

    async def counted() -> AsyncIterator[bytes]:
        async for chunk in _endless():
            given[0] += len(chunk)
            yield chunk

    with face(engine=FakeEngine(chunks=counted, length=None)) as server:
        with server.connect() as link:
            _post(link, b'{"model":"gpt-image-2","prompt":"x","stream":true}')
            link.recv(1)
            assert eventually(lambda: given[0] > 0)
            before = -1
            while before != given[0] < 32 * 2**20:  # until what lies between is full
                before = given[0]
                time.sleep(0.3)
            assert given[0] < 32 * 2**20
        assert eventually(lambda: server.engine.delivered == [False])


def test_a_client_that_leaves_before_the_answer_is_not_counted_as_served() -> None:
    release: list[bool] = []

    async def wait(call: ImageCall) -> None:
        while not release:
            await asyncio.sleep(0.01)

    with face(engine=FakeEngine(work=wait)) as server:
        with server.connect() as link:
            _post(link, b'{"model":"gpt-image-2","prompt":"x"}')
            assert eventually(lambda: server.engine.calls)
        time.sleep(0.05)
        release.append(True)
        assert eventually(lambda: server.engine.delivered == [False])


async def _cut() -> AsyncIterator[bytes]:
    yield b"{"
    raise OSError("the spool's disk is gone")


def test_an_answer_that_fails_on_its_way_is_cut_and_not_completed() -> None:
    with structlog.testing.capture_logs() as logs, face(engine=FakeEngine(chunks=_cut)) as server:
        with server.connect() as link:
            _post(link, b'{"model":"gpt-image-2","prompt":"x"}')
            received = b""
            while chunk := link.recv(65_536):
                received += chunk
        assert received.endswith(b"\r\n\r\n{")
        assert server.engine.delivered == [False]
    assert [line["event"] for line in logs] == ["answer_cut", "request"]
    assert isinstance(logs[0]["exc_info"], OSError)


def test_prompts_and_keys_stay_out_of_the_log() -> None:
    with structlog.testing.capture_logs() as logs, face() as server:
        server.generate(prompt="a very private wish", n=0)
        server.generate(prompt="a very private wish", user="somebody@example.com")
        server.request("POST", "/v1/images/generations", key="sk-proj-" + "q" * 40)
    printed = str(logs)
    lines = [line for line in logs if line["event"] == "request"]
    assert [line["status"] for line in lines] == [400, 200, 401]
    for secret in ("private", KEY, "qqqq", "somebody"):
        assert secret not in printed


def test_a_missing_model_is_filled_in_where_the_operator_says_so() -> None:
    with face(normalization={"default_model": "sandbox", "unknown_fields": "drop"}) as server:
        reply = server.post_json("/v1/images/generations", {"prompt": "x", "model": None, "zoom": 1})
        assert reply.status == 200
        assert (server.engine.calls[0].model, dict(server.engine.calls[0].params)) == ("sandbox", {})


def test_requests_in_one_connection_are_answered_in_turn() -> None:
    with face() as server, server.connect() as link:
        body = b'{"model":"gpt-image-2","prompt":"x"}'
        _post(link, body)
        _post(link, body)
        received = b""
        while received.count(b"\r\n\r\n{}") < 2:
            received += link.recv(65_536)
        assert len(server.engine.calls) == 2


def test_the_official_sdk_sends_files_that_are_understood() -> None:
    with face() as server:
        client = OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=0)
        client.images.edit(model="gpt-image-2", prompt="ä ☃", image=PNG, n=2, output_compression=100)
        client.images.edit(
            model="gpt-image-2.6-flare",
            prompt="x",
            image=[PNG, ("b.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20))],
            mask=("m.png", PNG, "image/png"),
            output_format="svg",
            svg={"model": "author", "reasoning": {"effort": "low"}},
        )
        first, second = server.engine.calls
        assert (first.prompt, dict(first.params)) == ("ä ☃", {"n": 2, "output_compression": 100})
        assert first.images[0].filename == "upload.png"
        assert [image.content_type for image in second.images] == ["image/png", "image/webp"]
        assert second.params["svg"] == {"model": "author", "reasoning": {"effort": "low"}}
        client.close()


def _post(link: Any, body: bytes) -> None:
    head = f"POST /v1/images/generations HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    link.sendall(head.encode() + body)


def test_the_mode_of_a_request_its_project_and_its_model_is_what_calls_are_served_in() -> None:
    with face() as server:
        server.generate(size="512x512")
        assert server.engine.calls[-1].strict is False
        assert replace(server, mode="strict").generate(size="512x512").error["param"] == "size"
        assert replace(server, mode="strict").generate(size="1024x1024").status == 200
        assert server.engine.calls[-1].strict is True
        error = replace(server, mode="loose").generate().error
        assert (error["param"], error["code"]) == ("x-imagegate-size-mode", "invalid_value")
    with face(normalization={"mode": "strict"}) as server:
        assert server.generate(quality="hd").error["param"] == "quality"
        assert replace(server, mode="snap").generate(quality="hd").status == 200


def test_links_are_the_default_where_callers_expect_them() -> None:
    with face(normalization={"legacy_models": "gpt-image-2"}) as server:
        body = {"model": "gpt-image-2", "prompt": "a dot"}
        for path, fields, wanted in (
            ("/v1/images/generations", {}, "b64_json"),
            ("/v1/images/generations", {"response_format": "url"}, "url"),
            ("/openai/v1/images/generations", {}, "url"),
            ("/openai/v1/images/generations", {"response_format": "b64_json"}, "b64_json"),
            ("/v1/images/generations", {"model": "dall-e-3"}, "url"),
            ("/openai/deployments/gpt-image-2/images/generations", {}, "b64_json"),
        ):
            assert server.post_json(path, {**body, **fields}).status == 200
            assert server.engine.calls[-1].delivery.response_format == wanted
            assert "response_format" not in server.engine.plans[-1].candidates[0].fitted.call.params


def test_a_report_in_the_body_is_asked_for_by_a_header() -> None:
    with face() as server:
        document = json.dumps({"model": "sandbox", "prompt": "x"}).encode()
        for word, told in (("body", True), ("headers", False)):
            headers = {"content-type": "application/json", "x-imagegate-report": word}
            assert server.request("POST", "/v1/images/generations", document, headers).status == 200
            assert server.engine.calls[-1].delivery.report is told


def test_a_retired_name_is_served_with_its_own_words() -> None:
    with face(normalization={"legacy_models": "gpt-image-2"}) as server:
        reply = server.generate(model="dall-e-3", size="1792x1024", quality="hd", style="vivid", n=1)
        assert reply.status == 200
        assert reply.headers["x-imagegate-model"] == "gpt-image-2"
        fitted = server.engine.plans[0].candidates[0].fitted
        assert dict(fitted.call.params) == {"size": "1792x1024", "quality": "high", "n": 1}
        assert [(one.field, one.was, one.now) for one in fitted.adjustments] == [
            ("model", "dall-e-3", "gpt-image-2"),
            ("quality", "hd", "high"),
            ("style", "vivid", None),
        ]
    with face() as server:
        assert "legacy_models: gpt-image-2" in server.generate(model="dall-e-3").error["message"]


def test_a_picture_may_be_a_text_of_a_form_far_beyond_other_texts() -> None:
    upload = {"max_field": "1KiB", "json_memory": "1MiB"}
    picture = base64.b64encode(PNG + b"\xff" * 300_000 + bytes(-(len(PNG) + 300_000) % 3)).decode()
    with face(settings_with(upload=upload)) as server:
        for _ in range(4):
            assert server.edit_form(*BASICS, text("image[]", picture), file("image[]")).status == 200
        first, second = server.engine.calls[-1].images
        assert first == InputRef(f"data:image/png;base64,{picture}")
        assert isinstance(second, InputFile)
        reply = server.edit_form(*BASICS, *[text("image[]", picture)] * 3)
        assert (reply.status, reply.error["code"]) == (503, "too_many_json_bodies")
        assert server.edit_form(text("prompt", "x" * 2000)).error["code"] == "field_too_large"


def test_a_projects_mode_and_report_hold_for_all_its_keys() -> None:
    settings = settings_with().model_dump()
    settings["organization"]["projects"][0]["normalization"] = {"mode": "strict", "report": "body"}
    keys = FakeKeys()
    with face(Settings.model_validate(settings), keys=keys) as server:
        body = {"model": "gpt-image-2", "prompt": "x", "size": "512x512"}
        for key in (KEY, keys.add(), keys.add(models=["gpt-image-2"])):
            assert server.post_json("/v1/images/generations", body, key).error["param"] == "size"
            assert server.post_json("/v1/images/generations", {**body, "size": "auto"}, key).status == 200
            assert server.engine.calls[-1].delivery.report is True
        assert server.post_json("/v1/images/generations", body, keys.add("elsewhere")).status == 200
        assert server.engine.calls[-1].delivery.report is False


def test_a_models_mode_holds_where_nobody_else_has_a_word() -> None:
    entry = load_catalog().describe("openai", "gpt-image-2")
    model = PublicModel("poster", (Target("p", "gpt-image-2", entry),), entry, mode="strict")
    with face(directory=ModelDirectory([model])) as server:
        assert server.generate(model="poster", size="512x512").error["param"] == "size"
        assert replace(server, mode="snap").generate(model="poster", size="512x512").status == 200
