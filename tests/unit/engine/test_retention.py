"""Turns of retention happen by themselves, are told of, and outlive a ledger that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.retention import DAY, RetentionSettings
from gateway.engine import retention
from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from tests.unit.accounts.books import close, on
from tests.unit.ledger.test_retention import MONTHS, call, four_months
from tests.unit.ledger.test_rollups import rolled_up


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    yield opened
    await opened.close()


async def test_a_turn_says_what_it_removed_and_why_the_rest_stays(ledger: Ledger) -> None:
    await four_months(ledger)
    await call(ledger, "young", datetime.now(UTC) - timedelta(days=5), 1, end_user="anna")
    await rolled_up(ledger)
    with capture_logs() as logs:
        await retention.turn(ledger, RetentionSettings())
    (waits,) = [each for each in logs if each["event"] == "retention_waits"]
    assert (waits["log_level"], waits["reason"]) == ("warning", "month_not_closed")
    for month in MONTHS:
        await close(ledger, month)
    with capture_logs() as logs:
        await retention.turn(ledger, RetentionSettings(requests=DAY, ledger=60 * DAY))
    (done,) = [each for each in logs if each["event"] == "retention"]
    assert (done["cleared"], done["requests"], done["attempts"]) == (1, 12, 9)
    assert done["rows_from"] == on(4, 1, 0).replace(hour=22, month=3, day=31).isoformat()
    with capture_logs() as logs:
        await retention.turn(ledger, RetentionSettings())
    assert [each["event"] for each in logs] == ["retention_waits"]


async def test_turns_go_on_after_one_that_failed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0)
    turns: list[None] = []
    fails: list[Exception] = [Unavailable("away", code="ledger_unavailable"), RuntimeError("a defect")]
    third = asyncio.Event()

    async def turn(*_: Any) -> None:
        turns.append(None)
        if fails:
            raise fails.pop(0)
        third.set()

    monkeypatch.setattr(retention, "turn", turn)
    async with retention.retained(ledger, RetentionSettings()), asyncio.timeout(30):
        await third.wait()
    done = len(turns)
    await asyncio.sleep(0.01)
    assert len(turns) == done, "and they end with what they serve"
