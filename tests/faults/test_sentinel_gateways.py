"""Two replicas that count in a Redis under sentinels, while its master dies under requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from tests import redis_groups
from tests.conftest import obtain
from tests.contract.gateway_here import KEY
from tests.faults.budgeted import DAY, HIGH, config
from tests.gateway_process import Gateway
from tests.redis_groups import Watched
from tests.simulators.process import UpstreamProcess
from tests.soak.accounts import IMAGE_OUT, NANO, TEXT_IN

pytestmark = [pytest.mark.xdist_group("redis groups"), pytest.mark.slow]

BODY = {"model": "gpt-image-2", "prompt": "a red cat", "size": "1024x1024", "quality": "high"}
AWAY = {"budget_store_unavailable", "budget_state_rebuilding"}
PATIENCE = 90.0


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield obtain(redis_groups.sentinel, stack)


async def insisting(
    client: httpx.AsyncClient, gateway: Gateway, until: Callable[[str], bool]
) -> Counter[str]:
    """Ask again and again; how often each answer came, by its code or its status."""
    seen: Counter[str] = Counter()
    begun = monotonic()
    while True:
        assert monotonic() - begun < PATIENCE, seen
        answer = await client.post(f"{gateway.api}/images/generations", json=BODY)
        code = "200" if answer.status_code == 200 else answer.json()["error"]["code"]
        retry = None if code == "200" else "true" if code in AWAY else "false"
        assert answer.headers.get("x-should-retry") == retry
        seen[code] += 1
        if until(code):
            return seen
        await asyncio.sleep(0.05)


async def usage(client: httpx.AsyncClient, gateway: Gateway) -> Any:
    """The only limit, once the store answers."""
    begun = monotonic()
    while True:
        answer = await client.get(f"{gateway.api}/usage")
        if answer.status_code == 200:
            return answer.json()["limits"][0]
        assert monotonic() - begun < PATIENCE, answer.text
        await asyncio.sleep(0.1)


async def test_f19_replicas_survive_a_failover_under_requests_and_spend_no_cent_too_much(
    watched: Watched,
    upstream_process: UpstreamProcess,
    tmp_path: Path,
    postgres_database: str,
    start_gateway: Callable[..., Gateway],
) -> None:
    """A dollar pays for four calls, whoever takes them and whatever happens to the counters meanwhile."""
    upstream_process.plan("ok delay=5", "ok delay=5")
    storage = {"database": postgres_database}
    written = config(upstream_process, DAY, quota="env:QUOTA_URL", storage=storage)  # type: ignore[arg-type]
    environ = {"QUOTA_URL": watched.url}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key1").write_text(upstream_process.key)
    gateways = await asyncio.gather(
        *(
            asyncio.to_thread(start_gateway, written, folder=tmp_path / name, key=KEY, env=environ)
            for name in ("a", "b")
        )
    )
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
        running = [
            asyncio.create_task(client.post(f"{each.api}/images/generations", json=BODY)) for each in gateways
        ]
        begun = monotonic()
        while upstream_process.stats()["running"] < 2:
            assert monotonic() - begun < PATIENCE
            await asyncio.sleep(0.05)
        assert float((await usage(client, gateways[0]))["held"]) == 2 * HIGH / 1e9

        watched.kill(watched.master())
        away = await asyncio.gather(*(insisting(client, each, AWAY.__contains__) for each in gateways))
        assert all(set(seen) <= AWAY for seen in away)
        seen = await asyncio.gather(
            *(insisting(client, each, "project_spend_limit_exceeded".__eq__) for each in gateways)
        )
        assert set().union(*seen) <= {"200", "project_spend_limit_exceeded", *AWAY}
        assert sum(each["200"] for each in seen) == 2
        assert [answer.status_code for answer in await asyncio.gather(*running)] == [200, 200]

        begun = monotonic()
        while float((found := await usage(client, gateways[1]))["held"]) != 0:
            assert monotonic() - begun < PATIENCE
            await asyncio.sleep(0.1)
    usages = [call["usage"] for call in upstream_process.calls()]
    assert len(usages) == 4
    cost = sum(each["input_tokens"] * TEXT_IN + each["output_tokens"] * IMAGE_OUT for each in usages)
    assert (round(float(found["used"]) * NANO), float(found["unknown"])) == (cost, 0)
