"""The whole contract of a store once more, over a master that sentinels name and over a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.quota import finding
from tests.redis_groups import Group
from tests.unit.quota.test_store_contract import *  # noqa: F403
from tests.unit.quota.worlds import World, patch_server_clock, world

pytestmark = [pytest.mark.xdist_group("redis groups"), pytest.mark.slow]


@pytest.fixture(params=["redis_sentinel", "redis_cluster"])
async def at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    group: Group = request.getfixturevalue(request.param)
    patch_server_clock(monkeypatch)
    monkeypatch.setattr(finding, "ASK_SECONDS", 5.0)  # a busy machine, and nobody who waits
    async with world("group", group.url, most_end_users=20) as made:
        yield made
