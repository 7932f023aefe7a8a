"""What the ledger does by itself from time to time. A failure is logged and tried again at the next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.errors import Unavailable

_log = structlog.get_logger("imagegate.ledger")

REPLAY_SECONDS = 1.0
ROLL_UP_SECONDS = 60.0


class Upkeep:
    """``replay`` writes what the database missed, ``roll_up`` makes the sums ahead of reports."""

    def __init__(
        self, *, replay: Callable[[], Awaitable[int]], roll_up: Callable[[], Awaitable[None]]
    ) -> None:
        self._work: tuple[tuple[float, Callable[[], Awaitable[object]]], ...] = (
            (REPLAY_SECONDS, replay),
            (ROLL_UP_SECONDS, roll_up),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(_every(*each)) for each in self._work]

    async def aclose(self) -> None:
        """Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Unavailable:
            continue  # it was logged where it was raised
        except Exception as error:
            _log.error("ledger_upkeep_failed", reason=type(error).__name__)
