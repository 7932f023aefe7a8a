"""A credit is entered through a running server and gives room there at once, and after a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from gateway.cli.main import cli
from tests.contract.gateway_here import KEY
from tests.faults.budgeted import config
from tests.gateway_process import Gateway, launch
from tests.simulators.openai_upstream import Upstream

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
