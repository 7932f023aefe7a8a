"""A gateway that serves removes by itself what was kept for long enough, and tells of it no more."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from config.retention import DAY, RetentionSettings
from gateway.engine import retention
from gateway.ledger import horizon
from gateway.ledger.tables import requests
from tests.contract.gateway_here import gateway_here
from tests.gateway_process import SANDBOX


async def test_a_request_leaves_the_log_and_its_cost_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0)
    text = SANDBOX + "\nstorage: {retention: {requests: 2d, ledger: 90d}}\n"
    async with gateway_here(text, tmp_path) as here, asyncio.timeout(30):
        ledger = here.gateway.ledger
        while await ledger.notes.get(horizon.LOG) is None:  # its first turn
            await asyncio.sleep(0.02)
        answer = await here.generate(model="sandbox", user="anna")
        assert answer.status_code == 200, answer.text
        record = f"/v1/images/requests/{answer.headers['x-request-id']}"
        assert (await here.client.get(record)).status_code == 200
        await here.rows("requests")
        long_ago = datetime.now(UTC) - timedelta(hours=36)
        await ledger._store.write(lambda c: c.execute(update(requests).values(received_at=long_ago)))
        done = await retention.turn(ledger, RetentionSettings(requests=DAY))
        assert done.cleared == 1
        assert (await here.client.get(record)).status_code == 404
        assert (await here.client.get("/v1/images/requests")).json()["data"] == []
        (row,) = await here.rows("requests")
        assert (row["end_user"], row["status"], row["cost"]) == (None, 200, 0)
