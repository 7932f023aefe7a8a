"""A credit is entered through a running server and gives room there at once, and after a restart."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from gateway.cli.main import cli
from gateway.ledger.administration import Administration
from tests.contract.gateway_here import KEY, Here
from tests.faults.budgeted import budgeted, config, high
from tests.faults.test_quota_redis_away import Server, server
from tests.gateway_process import Gateway, launch
from tests.simulators.openai_upstream import Upstream

__all__ = ["server"]

CALL = {"model": "gpt-image-2", "prompt": "a red cat", "size": "1024x1024", "quality": "high"}
LIMIT = {"spend_usd": "0.3", "per": "day"}
"""One picture of $0.21072 and no second one."""


@pytest.fixture(params=["local", "redis"])
def quota(request: pytest.FixtureRequest) -> str:
    return "local" if request.param == "local" else str(request.getfixturevalue("redis_server"))


async def statuses(gateway: Gateway, calls: int) -> list[int]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=gateway.base_url, headers=headers, timeout=30, trust_env=False
    ) as client:
        return [(await client.post("/v1/images/generations", json=CALL)).status_code for _ in range(calls)]


async def entered(gateway: Gateway, *words: str) -> dict[str, Any]:
    file = str(gateway.data.parent / "gateway.yaml")
    command = ["credit", *words, "--config", file, "--data", str(gateway.data), "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


async def test_a_credit_gives_room_at_once_and_after_a_restart_until_it_is_taken_back(
    upstream: Upstream, tmp_path: Path, quota: str
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    text = config(upstream, LIMIT, quota=quota)
    gateway = await asyncio.to_thread(launch, text, folder=tmp_path)
    try:
        assert await statuses(gateway, 2) == [200, 429]
        given = await entered(gateway, "--scope", "project:tests", "--usd", "0.2", "--reason", "an outage")
        assert await statuses(gateway, 2) == [200, 429]
        second = await entered(gateway, "--scope", "project:tests", "--usd", "0.4", "--reason", "an outage")
        await asyncio.to_thread(gateway.stop)
        gateway = await asyncio.to_thread(launch, text, folder=tmp_path)
        assert await statuses(gateway, 1) == [200]
        await entered(gateway, "--void", second["id"], "--reason", "typing error")
        assert await statuses(gateway, 1) == [429]
        assert given["scope"] == "project:tests"
    finally:
        await asyncio.to_thread(gateway.stop)


async def test_a_credit_survives_drift_checks_and_the_loss_of_all_counters(
    upstream: Upstream, tmp_path: Path, quota: str
) -> None:
    async with budgeted(upstream, tmp_path, LIMIT, quota=quota) as here:
        gateway, keeper = here.gateway, here.gateway.keeping.keeper
        control = Administration(
            gateway.ledger, gateway.settings, lambda: b"pepper", on_credit=gateway.keeping.credited
        )
        words = {"scope": "project:tests", "usd": "0.4", "reason": "an outage", "who": "anna"}
        assert [(await high(here)).status_code for _ in range(2)] == [200, 429]
        given = await control.perform("accounts/credit", words)
        assert await remaining(here) == "0.489245"
        assert await keeper.drift() == ([], [])
        assert await remaining(here) == "0.489245"
        assert await keeper.rebuild() is not None
        assert await remaining(here) == "0.489245"
        assert (await high(here)).status_code == 200
        beside = Administration(gateway.ledger, gateway.settings, lambda: b"pepper")
        await beside.perform("accounts/void", {"id": given["id"], "reason": "r", "who": "anna"})
        assert await remaining(here) == "0.27849"
        await keeper.drift()
        assert await remaining(here) == "0"


async def test_a_credit_that_a_silent_redis_was_not_told_of_counts_when_it_answers(
    upstream: Upstream, tmp_path: Path, server: Server
) -> None:
    async with budgeted(upstream, tmp_path, LIMIT, quota=server.url) as here:
        gateway = here.gateway
        control = Administration(
            gateway.ledger, gateway.settings, lambda: b"pepper", on_credit=gateway.keeping.credited
        )
        server.signal(signal.SIGSTOP)
        words = {"scope": "project:tests", "usd": "0.4", "reason": "an outage", "who": "anna"}
        await control.perform("accounts/credit", words)
        server.signal(signal.SIGCONT)
        await gateway.keeping.keeper.drift()
        assert await remaining(here) == "0.7"


async def remaining(here: Here) -> str:
    answer = await here.client.get("/v1/usage")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["limits"][0]["remaining"])
