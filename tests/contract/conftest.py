from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from providers.http import UpstreamClient
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.upstreams_here import Start, config
from tests.simulators.openai_upstream import Upstream


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    """What adapters send with, where a test has no gateway."""
    made = UpstreamClient()
    yield made
    await made.aclose()


@pytest.fixture
def also() -> str:
    """What the configuration of ``one`` and ``two`` says besides."""
    return ""


@pytest.fixture
async def one(upstream: Upstream, also: str, tmp_path: Path) -> AsyncIterator[Here]:
    """A gateway with one account."""
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream) + also, tmp_path) as here:
        yield here


@pytest.fixture
async def two(
    upstream: Upstream, start_upstream: Start, also: str, tmp_path: Path
) -> AsyncIterator[tuple[Here, Upstream]]:
    """A gateway with two accounts, and the second's upstream."""
    second = await start_upstream()
    for number in (1, 2):
        (tmp_path / f"key{number}").write_text(upstream.key)
    async with gateway_here(config(upstream, second) + also, tmp_path) as here:
        yield here, second
