"""Clients that are slow, gone, or too many, and answers that break on their way to them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.api import connection
from gateway.engine import engine, outlet
from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.upstreams_here import config
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream


@pytest_asyncio.fixture
async def one(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key1").write_text(upstream.key)
    server = "server: {read_stall: 1s}\nspool: {memory: 1MiB}\n"
    async with gateway_here(server + config(upstream), tmp_path) as here:
        yield here


async def exchange(port: int, request: bytes, seconds: float = 9.0) -> bytes:
    """Send bytes, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()


async def test_f03_a_model_the_key_may_not_use_is_403(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    target = '{"provider": "up1", "model": "gpt-image-2", "catalog": "gpt-image-2"}'
    other = f'{{"other": {{"targets": [{target}]}}, "gpt-image-2":'
    sha = hashlib.sha256(KEY.encode()).hexdigest()
    keys = f'[{{name: k, sha256: "{sha}"}}]'
    narrow = config(upstream).replace('{"gpt-image-2":', other)
    narrow += f"\norganization: {{projects: [{{name: t, models: [other], keys: {keys}}}]}}\n"
    async with gateway_here(narrow, tmp_path) as here:
        response = await here.generate()
        assert response.status_code == 403
        assert response.headers["x-should-retry"] == "false"
        assert response.json()["error"]["param"] == "model"
        assert (await here.generate(model="other")).status_code == 200
    assert len(upstream.images) == 1


async def test_f06_half_a_head_is_answered_408_and_closed(one: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    answer = await exchange(one.port, b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nX-A: ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert (error["code"], set(error)) == ("request_timeout", {"message", "type", "param", "code"})


async def test_f06_a_silent_connection_is_closed(one: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    assert await exchange(one.port, b"") == b""


async def test_f06_a_slow_head_on_a_kept_connection(one: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.4)
    answer = await exchange(one.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTT")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


async def test_a_head_without_end_is_refused(one: Here) -> None:
    answer = await exchange(one.port, b"GET /livez HTTP/1.1\r\n" + b"X-Filler: " + b"a" * 200_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http_is_answered_in_the_envelope(one: Here) -> None:
    answer = await exchange(one.port, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "bad_http"


async def test_f40_an_empty_answer_is_an_error_and_never_a_picture(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.empty_data(), on.empty_data(missing=True))
    for _ in range(2):
        response = await one.generate()
        assert (response.status_code, response.json()["error"]["code"]) == (502, "empty_result")
        assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "behaviour", [on.cut(5_000, bytes=2_000_000), on.broken_json(), on.truncated_base64()]
)
async def test_f41_a_cut_answer_is_an_error_before_the_status_line(
    one: Here, upstream: Upstream, behaviour: on.Behaviour
) -> None:
    upstream.plan(behaviour)
    response = await one.generate()
    assert (response.status_code, response.json()["error"]["code"]) == (502, "bad_upstream_payload")
    assert response.headers["x-should-retry"] == "false"
    assert len(upstream.images) == 1


async def test_f51_a_stream_cut_after_a_partial_ends_in_an_error(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.stream_cut(1))
    response = await one.generate(stream=True, partial_images=2)
    names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    assert names == ["image_generation.partial_image", "error"]
    (attempt,) = await one.rows("attempts")
    assert attempt["state"] == "unknown"
    assert len(upstream.images) == 1


async def test_f52_a_reader_that_stalls_is_cut_and_costs_the_upstream_nothing(
    one: Here, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The upstream is read at full speed, the spool is given back, everyone else is served."""
    upstream.plan(on.ok(bytes=30_000_000))
    body = json.dumps({"model": "gpt-image-2", "prompt": "x"}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port, limit=1024)
    writer.write(
        b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    assert (await one.generate()).status_code == 200
    room = one.gateway.room
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(20):
            while room.in_memory:
                await asyncio.sleep(0.05)
    (slow, _), (attempt, _) = await one.rows("requests"), await one.rows("attempts")
    assert slow["client_gone"] == 1
    assert attempt["state"] == "settled"
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(30_000_000)
    writer.close()


async def test_a_silent_stream_is_kept_alive_by_comments(
    one: Here, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status line goes out although nothing has come yet; then pings until the first event."""
    monkeypatch.setattr(engine, "FIRST_BYTE", 0.2)
    monkeypatch.setattr(outlet, "SILENCE", 0.2)
    upstream.plan(on.ok(delay=1.0))
    response = await one.generate(stream=True)
    assert response.text.startswith(": ping\n\n")
    assert response.text.rstrip().rsplit("event: ", 1)[1].startswith("image_generation.completed")


async def test_an_error_after_the_status_line_is_an_event(
    one: Here, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FIRST_BYTE", 0.2)
    upstream.plan(on.error("invalid_key", delay=0.6))
    response = await one.generate(stream=True)
    assert response.status_code == 200
    event = response.text.strip()
    assert event.startswith("event: error\ndata: ")
    error = json.loads(event.split("data: ", 1)[1])
    assert error["type"] == "error"
    assert error["error"]["code"] == "upstream_auth_failed"


async def test_a_stream_whose_client_leaves_is_still_settled(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(event_delay=0.3, partials=2))
    body = {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 2}
    async with one.client.stream("POST", "/v1/images/generations", json=body) as response:
        async for _ in response.aiter_lines():
            break
    (attempt,) = await one.rows("attempts")
    assert attempt["state"] == "settled"
    assert one.gateway.room.in_memory == 0


async def test_one_connection_more_than_allowed_is_told_so(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here("server: {max_connections: 2}\n" + config(upstream), tmp_path) as here:
        held = [await asyncio.open_connection("127.0.0.1", here.port) for _ in range(2)]
        await asyncio.sleep(0.1)
        answer = await exchange(here.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"x-should-retry: true" in answer
        for _, writer in held:
            writer.close()
