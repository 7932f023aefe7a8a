import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from providers.http import UpstreamClient


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What breaks sockets runs on both loops: the service has uvloop, which reports resets differently."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_http.py":
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient()
    yield made
    await made.aclose()
