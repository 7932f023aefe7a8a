from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.quota.worlds import KINDS, World, patch_server_clock, world


@pytest.fixture(params=KINDS)
async def at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A warm store of each kind."""
    url = request.getfixturevalue("redis_server") if request.param == "redis" else ""
    patch_server_clock(monkeypatch)
    async with world(request.param, url, most_end_users=20) as made:
        yield made
