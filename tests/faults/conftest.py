"""The gateways and stores that most cases around money begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import NOT_TESTED
from tests.contract.gateway_here import Here
from tests.faults.budgeted import DAY, budgeted
from tests.simulators.openai_upstream import Upstream
from tests.soak.stores import Redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """One of the test's own, to stop, kill and wipe."""
    try:
        running = Redis(tmp_path / "redis")
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    with running:
        yield running


@pytest.fixture
async def one(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    """One replica that counts by itself; its project has a dollar a day."""
    async with budgeted(upstream, tmp_path, DAY) as here:
        yield here
