"""What the soak saw explains itself."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import httpx

from tests.soak import town
from tests.soak.load import Load
from tests.soak.replicas import Replica


async def test_a_limit_that_was_seen_exceeded_is_told_with_its_numbers_and_what_came_before(
    tmp_path: Path,
) -> None:
    limit = {"scope": "project", "measure": "concurrent", "per": None, "rolling": False, "limit": "4"}
    within = {**limit, "used": "0", "held": "4", "unknown": "0"}
    over = {**limit, "used": "0.000000001", "held": "4", "unknown": "0"}
    document = {"as_of": "2026-11-20T12:00:00Z", "limits": [within, over]}
    answer = httpx.MockTransport(lambda _request: httpx.Response(200, json=document))
    load = Load([Replica(tmp_path, url="http://replica", ready=True)], random.Random(1), 1, 1)
    load.fault("Redis killed")
    async with httpx.AsyncClient(transport=answer) as client, asyncio.timeout(5):
        watching = asyncio.create_task(load._watch(client, town.callers()))
        while not load.exceeded:
            await asyncio.sleep(0.01)
        load.ended = True
        await watching
    assert load.looks == 2 * len(load.exceeded)
    told = str(load.exceeded[0])
    assert "project concurrent per None: used 0.000000001, held 4, unknown 0, limit 4" in told
    assert "as of 2026-11-20T12:00:00Z by http://replica; before: Redis killed 0." in told
