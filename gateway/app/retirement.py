"""Closing what an older version of the configuration used, when nothing that it began can still run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
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
        self._until = float("-inf")

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def remaining(self) -> float:
        """Seconds for which calls of older versions may still run."""
        return max(self._until - monotonic(), 0.0)

    def close_later(self, parts: Sequence[Closable], seconds: float) -> None:
        """In their order, when the version that goes now has no call any more: its last ones go on for so
        many seconds. Nor has one before it, which may have used the same parts and more time."""
        self._until = max(self._until, monotonic() + seconds)
        if parts:
            task = asyncio.create_task(self._close(parts, self.remaining), name="retire")
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
