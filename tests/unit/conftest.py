"""A ledger on each database that it promises to run on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.ledger import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, relative to ``tmp_path``."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return "sqlite:///data/imagegate.db"


@pytest.fixture
async def ledger(database: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(database, tmp_path)
    yield opened
    await opened.close()
