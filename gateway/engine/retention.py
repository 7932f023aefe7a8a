"""Turns of the ledger's retention, while a gateway serves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from config.retention import RetentionSettings
from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.retention import Retained
from gateway.telemetry import meters

FIRST_SECONDS = 60.0
EVERY_SECONDS = 3600.0

_log = structlog.get_logger("imagegate.retention")


@asynccontextmanager
async def retained(ledger: Ledger, settings: RetentionSettings) -> AsyncIterator[None]:
    """While this is open, what was kept for long enough is removed every hour, at times that replicas do not
    share."""
    task = asyncio.create_task(_for_ever(ledger, settings), name="retention")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def turn(ledger: Ledger, settings: RetentionSettings) -> Retained:
    """One, told of in logs and metrics. Raises :class:`Unavailable`."""
    log, rows = (timedelta(seconds=seconds) for seconds in (settings.requests, settings.ledger))
    done = await ledger.retention.run(datetime.now(UTC), log=log, rows=rows)
    counts = {"cleared": done.cleared, "requests": done.requests, "attempts": done.attempts}
    for what, count in counts.items():
        meters.retention_removed.add(count, {"what": what})
    if any(counts.values()):
        began = None if done.rows_from is None else done.rows_from.isoformat()
        _log.info("retention", **counts, rows_from=began)
    if done.waits is not None:
        _log.warning("retention_waits", reason=done.waits.value)
    return done


async def _for_ever(ledger: Ledger, settings: RetentionSettings) -> None:
    seconds = FIRST_SECONDS
    while True:
        await asyncio.sleep(seconds * random.uniform(0.5, 1.5))
        seconds = EVERY_SECONDS
        try:
            await turn(ledger, settings)
        except Unavailable:
            continue  # it was logged where it was raised
        except Exception as error:
            _log.error("retention_failed", reason=type(error).__name__)
