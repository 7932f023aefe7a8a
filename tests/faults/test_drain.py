"""A gateway that is told to stop: what new, waiting, running and stuck calls come to. Real processes, real
signals; the ledger is read when the process has gone."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway_process import Gateway
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

Start = Callable[..., Gateway]

pytestmark = pytest.mark.slow


def _config(upstream: Upstream, drain: str, *, provider: str = "", routing: str = "{}") -> str:
    return (
        f"server: {{drain: {drain}}}\nrouting: {routing}\n"
        f"providers: {{up: {{type: openai, base_url: '{upstream.base_url}', api_key: env:KEY{provider}}}}}\n"
        "models: {gpt-image-2: {targets: [{provider: up}]}}\n"
    )


@pytest.fixture
def start(start_gateway: Start, upstream: Upstream) -> Start:
    def start(drain: str = "{delay: 0s}", **options: Any) -> Gateway:
        text = _config(upstream, drain, **options)
        return start_gateway(text, env={"KEY": upstream.key})

    return start


def _client(gateway: Gateway) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {gateway.key}"}
    return httpx.AsyncClient(base_url=gateway.base_url, headers=headers, timeout=20, trust_env=False)


def _ask(client: httpx.AsyncClient, **fields: Any) -> asyncio.Task[httpx.Response]:
    body = {"model": "gpt-image-2", "prompt": "x", "size": "1024x1024", "quality": "low", **fields}
    return asyncio.create_task(client.post("/v1/images/generations", json=body))


async def _ended(gateway: Gateway, seconds: float = 15.0) -> float:
    """How long it took to end, in good order."""
    begun = time.monotonic()
    assert await asyncio.to_thread(gateway.process.wait, seconds) == 0
    return time.monotonic() - begun


def _rows(gateway: Gateway, table: str) -> list[dict[str, Any]]:
    link = sqlite3.connect(gateway.data / "imagegate.db")
    link.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in link.execute(f"SELECT * FROM {table} ORDER BY rowid")]
    finally:
        link.close()


def _events(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in gateway.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def _is_draining(answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (503, "draining", "server_error")
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after"] == "1"
    return answer.headers["connection"] == "close"


async def test_f53_new_images_are_refused_until_the_listener_closes(start: Start, upstream: Upstream) -> None:
    """What was sent before goes on meanwhile, and is tried once more where it fails."""
    upstream.plan(on.error("server_error", delay=2.0))
    gateway = start("{delay: 4s}")
    async with _client(gateway) as client:
        running = _ask(client)
        await upstream.wait_for(1)
        kept = await client.get("/livez")
        assert "connection" not in kept.headers
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        while (ready := await client.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.01)
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        for path in ("/livez", "/v1/models"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert _is_draining(await _ask(client))
        edit = await client.post("/v1/images/edits", data={"prompt": "x"}, files={"image": b"x" * 1_000_000})
        assert _is_draining(edit)

        # What the kernel had accepted for a listener that closes is reset by it.
        with pytest.raises((httpx.ConnectError, httpx.ReadError)):
            while time.monotonic() - begun < 30:
                await client.get("/livez")
                await asyncio.sleep(0.05)
        assert time.monotonic() - begun > 3.9
        finished = await running
        assert (finished.status_code, finished.headers["connection"]) == (200, "close")
    await _ended(gateway)
    assert [row["state"] for row in _rows(gateway, "attempts")] == ["released", "settled"]
    assert (len(_rows(gateway, "requests")), len(upstream.images)) == (1, 2)


async def test_f53_those_that_wait_for_a_place_are_refused_at_once(start: Start, upstream: Upstream) -> None:
    upstream.default = on.ok(delay=3.0)
    gateway = start("{delay: 4s}", provider=", max_in_flight: 1")
    async with _client(gateway) as client:
        asked = [_ask(client) for _ in range(4)]
        await upstream.wait_for(1)
        while len(_rows(gateway, "attempts")) < 4:
            await asyncio.sleep(0.05)
        gateway.process.send_signal(signal.SIGTERM)
        answers = [await next_one for next_one in asyncio.as_completed(asked)]
        assert [answer.status_code for answer in answers] == [503, 503, 503, 200]
        assert all(_is_draining(answer) for answer in answers[:3])
    await _ended(gateway)
    states = sorted(row["state"] for row in _rows(gateway, "attempts"))
    assert states == ["released", "released", "released", "settled"]
    assert len(upstream.images) == 1


async def test_f53_so_are_those_that_wait_for_a_target_that_rests(start: Start, upstream: Upstream) -> None:
    upstream.plan(on.error("rate_limit", headers={"retry-after": "20"}))
    gateway = start("{delay: 3s}", routing="{max_attempts: 1}")
    async with _client(gateway) as client:
        assert (await _ask(client)).status_code == 429
        asked = _ask(client)
        await asyncio.sleep(0.3)
        assert not asked.done(), "it waits for the target to be ready again"
        gateway.process.send_signal(signal.SIGTERM)
        assert _is_draining(await asked)
        assert (await client.get("/readyz")).status_code == 503, "the listener is still there"
    await _ended(gateway)
    assert len(upstream.images) == 1


async def test_f54_what_runs_is_finished_with_and_without_its_client(
    start: Start, upstream: Upstream
) -> None:
    """A plain call, a stream, a call whose client has left, and one that is past its deadline."""
    upstream.plan(on.ok(delay=1.5), on.ok(event_delay=0.5, partials=2), on.ok(delay=1.5), on.ok(delay=4.5))
    gateway = start("{delay: 0s}", routing="{deadline: 3s, max_attempts: 1}")
    async with _client(gateway) as client, _client(gateway) as hasty:
        asked = []
        for number, who in enumerate([client, client, hasty, client], 1):
            asked.append(_ask(who, **({"stream": True, "partial_images": 2} if number == 2 else {})))
            await upstream.wait_for(number)
        whole, stream, left, late = asked
        gateway.process.send_signal(signal.SIGTERM)
        left.cancel()
        answered = await asyncio.gather(whole, stream, late)
        assert [answer.status_code for answer in answered] == [200, 200, 504]
        events = [line for line in answered[1].text.splitlines() if line.startswith("event: ")]
        assert [event[7:] for event in events] == [
            "image_generation.partial_image", "image_generation.partial_image", "image_generation.completed",
        ]  # fmt: skip
    await _ended(gateway)
    assert [row["state"] for row in _rows(gateway, "attempts")] == ["settled"] * 4
    assert all(row["ended_at"] for row in _rows(gateway, "requests"))
    assert len(_events(gateway, "drained")) == 1
    assert _events(gateway, "killed_in_flight") == []


async def test_f55_what_outlasts_the_grace_is_reset_and_stays_unknown(
    start: Start, upstream: Upstream
) -> None:
    upstream.plan(on.hang(), on.ok(event_delay=30))
    gateway = start("{delay: 0s, grace: 11s}")
    async with _client(gateway) as client:
        asked = [_ask(client)]
        await upstream.wait_for(1)
        asked.append(_ask(client, stream=True))
        await upstream.wait_for(2)
        gateway.process.send_signal(signal.SIGTERM)
        assert 0.8 < await _ended(gateway) < 8.0
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(outcome, httpx.HTTPError), outcome
    rows = _rows(gateway, "attempts")
    assert [(row["state"], row["error_code"]) for row in rows] == [("unknown", "killed_in_flight")] * 2
    requests = _rows(gateway, "requests")
    assert [(row["status"], row["error_code"], row["cost"]) for row in requests] == [
        (504, "killed_in_flight", None)
    ] * 2
    assert all(row["ended_at"] and row["attempts"] == 1 for row in requests)
    killed = _events(gateway, "killed_in_flight")
    assert {event["attempt_id"] for event in killed} == {row["attempt_id"] for row in rows}
    assert "Traceback" not in gateway.log_text()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(start: Start, upstream: Upstream, second: int) -> None:
    upstream.plan(on.hang())
    gateway = start("{delay: 60s}")
    async with _client(gateway) as client:
        asked = _ask(client)
        await upstream.wait_for(1)
        gateway.process.send_signal(signal.SIGTERM)
        while (await client.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.05)
        assert gateway.process.poll() is None
        gateway.process.send_signal(second)
        await _ended(gateway)
        with pytest.raises(httpx.HTTPError):
            await asked
    (attempt,) = _rows(gateway, "attempts")
    assert (attempt["state"], attempt["error_code"]) == ("unknown", "killed_in_flight")


async def test_ctrl_c_waits_for_no_load_balancer(start: Start) -> None:
    gateway = start("{delay: 60s}")
    gateway.process.send_signal(signal.SIGINT)
    assert await _ended(gateway) < 8.0
