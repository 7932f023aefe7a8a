"""Closing what an older version of the configuration used, when nothing that it began can still run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

_log = structlog.get_logger("imagegate.config")


class Closable(Protocol):
    async def aclose(self) -> None: ...


class Retirement:
    """One per process; its end closes everything at once."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def close_later(self, parts: Sequence[Closable], seconds: float) -> None:
        """In their order."""
        if parts:
            task = asyncio.create_task(self._close(parts, seconds), name="retire")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close(self, parts: Sequence[Closable], seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        for part in parts:
            try:
                await part.aclose()
            except Exception:
                _log.exception("not_closed")
