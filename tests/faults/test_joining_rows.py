"""Rows 46 to 50 over processes: replicas that share a database; clients and gateways that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.ledger.results import Result
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.leaving import BODY, RETRY, ask
from tests.contract.upstreams_here import config
from tests.gateway_process import KEY, Gateway, clean_environment
from tests.servers import ROOT
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.unit.ledger.entries import attempt, request

KEYED = {"idempotency-key": "order-4711"}
Start = Callable[..., Gateway]


@pytest_asyncio.fixture
async def replicas(
    start_gateway: Start, upstream: Upstream, postgres_database: str, redis_server: str, tmp_path: Path
) -> AsyncIterator[Sequence[httpx.AsyncClient]]:
    """Two processes with one database, one store of limits, one folder of media and one secret."""
    (tmp_path / "secret").write_text("a secret that both replicas of this test have")
    text = (
        f"server: {{secret: 'file:{tmp_path}/secret'}}\n"
        f"storage: {{database: '{postgres_database}', quota: '{redis_server}', "
        f"media: 'file:{tmp_path}/media'}}\n" + config(upstream)
    )
    clients = []
    for number in range(2):
        folder = tmp_path / f"replica-{number}"
        folder.mkdir()
        (folder / "key1").write_text(upstream.key)
        gateway = await asyncio.to_thread(start_gateway, text, folder=folder)
        clients.append(signed(gateway))
    yield clients
    for client in clients:
        await client.aclose()


def signed(gateway: Gateway) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=gateway.base_url, headers=headers, timeout=30, trust_env=False)


async def asked(client: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return await client.post("/v1/images/generations", json=BODY, headers=dict(headers or {}))


async def dropped(client: httpx.AsyncClient, upstream: Upstream) -> None:
    """A client that leaves once its call is with the upstream."""
    before = len(upstream.images)
    async with httpx.AsyncClient(
        base_url=client.base_url, headers=client.headers, trust_env=False
    ) as leaving:
        task = asyncio.create_task(asked(leaving))
        await upstream.wait_for(before + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def counted(database: str, query: str) -> int:
    engine = create_async_engine(database)
    try:
        async with engine.connect() as link:
            return int((await link.execute(text(query))).scalar_one())
    finally:
        await engine.dispose()


async def until_left(database: str) -> None:
    async with asyncio.timeout(20):
        while not await counted(database, "SELECT count(*) FROM results WHERE left_at IS NOT NULL"):
            await asyncio.sleep(0.05)


async def test_f48_the_same_key_in_flight_on_another_replica_waits_and_is_paid_once(
    replicas: Sequence[httpx.AsyncClient], upstream: Upstream, postgres_database: str
) -> None:
    first, second = replicas
    upstream.plan(on.ok(delay=0.8, bytes=800_000))
    running = asyncio.create_task(asked(first, KEYED))
    await upstream.wait_for(1)
    again, original = await asyncio.gather(asked(second, KEYED), running)
    assert (original.status_code, again.status_code) == (200, 200)
    assert again.content == original.content
    assert again.headers["x-imagegate-replayed"] == "true"
    finished = await asked(second, KEYED)
    assert finished.content == original.content
    other = await second.post("/v1/images/generations", json={**BODY, "prompt": "another"}, headers=KEYED)
    assert other.status_code == 422
    assert len(upstream.images) == 1
    assert await counted(postgres_database, "SELECT count(*) FROM attempts") == 1


async def test_f47_an_orphan_of_one_replica_is_had_from_the_other_once(
    replicas: Sequence[httpx.AsyncClient], upstream: Upstream, postgres_database: str
) -> None:
    first, second = replicas
    upstream.plan(on.ok(delay=0.8, bytes=800_000))
    await dropped(first, upstream)
    await until_left(postgres_database)
    answers = await asyncio.gather(asked(second, RETRY), asked(first, RETRY), asked(second, RETRY))
    assert sorted("x-imagegate-replayed" in answer.headers for answer in answers) == [False, False, True]
    (joined,) = [answer for answer in answers if "x-imagegate-replayed" in answer.headers]
    assert len(joined.content) == 800_000
    assert len(upstream.images) == 3
    assert await counted(postgres_database, "SELECT count(*) FROM results WHERE claimed_by IS NOT NULL") == 1


async def test_f47_an_unmarked_repetition_finds_an_orphan_of_the_other_replica_within_a_second_or_two(
    replicas: Sequence[httpx.AsyncClient], upstream: Upstream, postgres_database: str
) -> None:
    first, second = replicas
    upstream.plan(on.ok(delay=0.3, bytes=800_000))
    await dropped(first, upstream)
    await until_left(postgres_database)
    await asyncio.sleep(3)  # three times as often as they look
    again = await asked(second)
    assert (again.headers["x-imagegate-replayed"], len(again.content)) == ("true", 800_000)
    assert len(upstream.images) == 1


async def test_f48_a_call_whose_replica_died_is_504_and_not_bought_again(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        first = await ask(here, KEYED)
        (row,) = await here.rows("results")
        ledger, now = here.gateway.ledger, datetime.now(UTC)
        scope = (row["project_id"], row["key_id"], row["route"], row["fingerprint"])
        await ledger.record(request("req_dead", key_id=row["key_id"]), attempt("req_dead"))
        lease = now + timedelta(seconds=0.7)
        dead = Result("req_dead", *scope, now, lease, idempotency_key="dead")
        unsent = Result("req_unsent", *scope, now, lease, idempotency_key="unsent")
        for each in (dead, unsent):
            await ledger.results.begin(each)
        lost = await ask(here, {"idempotency-key": "dead"})
        assert (lost.status_code, lost.json()["error"]["code"]) == (504, "result_unknown")
        assert "req_dead" in lost.json()["error"]["message"]
        assert lost.headers["x-should-retry"] == "false"
        assert (await ask(here, {"idempotency-key": "dead"})).status_code == 504
        assert len(upstream.images) == 1
        free = await ask(here, {"idempotency-key": "unsent"})
        assert (free.status_code, first.status_code, len(upstream.images)) == (200, 200, 2)


async def test_f48_after_a_kill_of_the_only_process_the_key_is_not_bought_again(
    start_gateway: Start, upstream: Upstream, tmp_path: Path
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "key1").write_text(upstream.key)
    gateway = await asyncio.to_thread(start_gateway, config(upstream), folder=folder)
    upstream.plan(on.ok(delay=20))
    async with signed(gateway) as client:
        running = asyncio.create_task(asked(client, KEYED))
        await upstream.wait_for(1)
        gateway.process.kill()
        with pytest.raises(httpx.TransportError):
            await running
    again = await asyncio.to_thread(start_gateway, config(upstream), folder=folder, data=gateway.data)
    async with signed(again) as client:
        answer = await asked(client, KEYED)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "result_unknown")
        (record,) = (await client.get("/v1/images/requests?idempotency_key=order-4711")).json()["data"]
        assert record["status"] == "unknown"
        assert record["id"] in answer.json()["error"]["message"]
    assert len(upstream.images) == 1


async def test_f46_f47_the_official_sdk_that_times_out_gets_its_picture_at_its_own_retry_for_one_price(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    upstream.plan(on.ok(delay=1.6))
    async with gateway_here(config(upstream), tmp_path) as here:
        base_url = f"http://127.0.0.1:{here.port}/v1"
        key = here.client.headers["authorization"].removeprefix("Bearer ")
        async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=3, timeout=1.0) as client:
            raw = await client.images.with_raw_response.generate(**BODY)  # type: ignore[call-overload]
        assert raw.parse().data[0].b64_json
        assert raw.headers["x-imagegate-replayed"] == "true"
        assert raw.retries_taken >= 1
        assert len(upstream.images) == 1
        (attempt,) = await here.rows("attempts")
        assert attempt["state"] == "settled"


_SDK = """
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0, timeout=30)
answer = client.images.generate(model="gpt-image-2", prompt="a red kite", size="1024x1024", quality="low")
print(len(answer.data[0].b64_json))
"""


def _curl(here: Here) -> list[str]:
    url = f"http://127.0.0.1:{here.port}/v1/images/generations"
    signed = f"Authorization: {here.client.headers['authorization']}"
    return ["curl", "-s", url, "-H", signed, "-H", "Content-Type: application/json", "-d", json.dumps(BODY)]


def _sdk(here: Here) -> list[str]:
    key = here.client.headers["authorization"].removeprefix("Bearer ")
    return [sys.executable, "-c", _SDK, f"http://127.0.0.1:{here.port}/v1", key]


@pytest.mark.parametrize("command", [_curl, _sdk])
async def test_a_terminal_killed_in_mid_picture_and_run_again_gets_the_picture_paid_once(
    upstream: Upstream, tmp_path: Path, command: Callable[[Here], list[str]]
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    upstream.plan(on.ok(delay=2.5, bytes=900_000))
    async with gateway_here(config(upstream), tmp_path) as here:

        def run() -> subprocess.Popen[bytes]:
            try:
                return subprocess.Popen(
                    command(here), cwd=ROOT, env=clean_environment(tmp_path), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError:
                pytest.skip("NOT TESTED: curl is not on PATH")

        first = run()
        await upstream.wait_for(1, timeout=20)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        second = run()
        out, _ = await asyncio.to_thread(second.communicate, timeout=40)
        assert second.returncode == 0
        assert len(out) == 900_000 or int(out) > 800_000
        assert len(upstream.images) == 1
        first_row: dict[str, Any]
        (first_row,) = await here.rows("requests")
        assert (first_row["client_gone"], first_row["status"]) == (1, 200)
        assert len(await here.rows("attempts")) == 1
