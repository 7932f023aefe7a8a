"""Fixtures of the fakes; ``tests/conftest.py`` takes them in with ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.simulators.openai_upstream import Upstream
from tests.simulators.process import UpstreamProcess


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A fake OpenAI in the test's own event loop."""
    async with Upstream() as running:
        yield running


@pytest_asyncio.fixture
async def start_upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """A factory of further ones: ``await start_upstream(key="sk-other")``."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Upstream:
            return await stack.enter_async_context(Upstream(**options))

        yield start


@pytest.fixture
def upstream_process() -> Iterator[UpstreamProcess]:
    """A fake OpenAI in a process of its own, for tests that block or that load it."""
    with UpstreamProcess() as running:
        yield running
