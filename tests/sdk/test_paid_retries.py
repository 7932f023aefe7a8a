"""Official clients with their own retries, against a gateway whose three targets all fail unclearly: exactly
the calls are paid for that the policy allows, however often the client asks."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from tests.conftest import NOT_TESTED
from tests.contract.gateway_here import KEY, Here
from tests.contract.upstreams_here import Start
from tests.environments import node, node_environment
from tests.faults.routed import routed
from tests.gateway_process import clean_environment
from tests.sdk.clients.published import AI
from tests.servers import NotObtainable
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

SCRIPT = Path(__file__).parent / "clients" / "ai_retries.mjs"
NEXT = {"on_failure": {"maybe_accepted": "next"}}


@asynccontextmanager
async def unclear(
    upstream: Upstream, start_upstream: Start, folder: Path, routing: dict[str, Any]
) -> AsyncIterator[tuple[Here, list[Upstream]]]:
    ups = [upstream, await start_upstream(), await start_upstream()]
    for each in ups:
        each.plan(*[on.reset("before_headers")] * 9)
    async with routed(dict(zip("abc", ups, strict=True)), folder, routing=routing) as here:
        yield here, ups


def calls(ups: list[Upstream]) -> list[int]:
    return [len(each.images) for each in ups]


POLICIES = [
    ({}, [1, 0, 0]),
    # One call after an unclear one is free of the 1 %; the second waits for settled spend.
    (NEXT, [1, 1, 0]),
    (NEXT | {"retry_spend": "0%"}, [1, 0, 0]),
]


@pytest.mark.parametrize(("routing", "paid"), POLICIES, ids=["stop", "next", "next_without_budget"])
async def test_the_python_sdk_pays_for_what_the_policy_allows(
    routing: dict[str, Any], paid: list[int], upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    async with unclear(upstream, start_upstream, tmp_path, routing) as (here, ups):
        base = f"http://127.0.0.1:{here.port}/v1"
        async with AsyncOpenAI(base_url=base, api_key=KEY, max_retries=2, timeout=60) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.images.generate(model="gpt-image-2", prompt="a kite")
        assert caught.value.status_code == 502
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert calls(ups) == paid
        assert len(await here.rows("requests")) == 1, "the SDK did not ask again"


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("clients")
@pytest.mark.parametrize(("routing", "paid"), [({}, [3, 0, 0]), (NEXT, [3, 1, 0])], ids=["stop", "next"])
async def test_the_ai_sdk_asks_three_times_and_each_pays_for_what_the_policy_allows(
    routing: dict[str, Any], paid: list[int], upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    """It does not know ``x-should-retry``. Three targets in turn would have been nine calls."""
    async with unclear(upstream, start_upstream, tmp_path / "gateway", routing) as (here, ups):
        assert await ai_sdk(here, tmp_path) == {"status": 502, "tries": 3}
        assert calls(ups) == paid


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("clients")
async def test_the_ai_sdk_that_asks_again_is_given_the_answer_that_came_late(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.plan(on.ok(delay=4))
    async with routed({"a": upstream}, tmp_path / "gateway", routing={"deadline": "2s"}) as here:
        assert await ai_sdk(here, tmp_path) == {"status": None, "tries": 1}
        assert len(upstream.images) == 1


async def ai_sdk(here: Here, folder: Path) -> dict[str, Any]:
    """How its one call ended."""
    scripts = folder / "script"
    scripts.mkdir()
    words = [f"{name}@{version}" for name, version in (AI, ("@ai-sdk/openai", "4.0.118"))]
    try:
        packages = await asyncio.to_thread(
            node_environment, "clients/npm-ai-7.0.173+ai-sdk-openai-4.0.118", *words
        )
        command = node()[0]
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    shutil.copy(SCRIPT, scripts)
    (scripts / "node_modules").symlink_to(packages / "node_modules")
    told = {"BASE_URL": f"http://127.0.0.1:{here.port}", "KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        command,
        str(scripts / SCRIPT.name),
        env=clean_environment(folder, told),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
