"""Where answers wait, in memory and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.media.spool import SpoolRoom


@pytest.fixture(params=[10_000_000, 5_000], ids=["memory", "disk"])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SpoolRoom]:
    made = SpoolRoom(memory=request.param, max_answer=10_000_000, directory=str(tmp_path))
    yield made
    assert made.in_memory == 0
    made.close()
