"""Removing old pictures, by age and by the room that all take together.

Several replicas may sweep one place at once: removing twice is no error, and each pass is bounded. What one
pass leaves, the next one takes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappush, heappushpop
from typing import Protocol

import structlog

from gateway.media.shelf import Kept, MediaFailed, Shelf

_log = structlog.get_logger("imagegate.media")


@dataclass(frozen=True, slots=True)
class Swept:
    """``removed`` pictures of ``freed`` bytes; ``early`` of them were removed for want of room while links
    to them could still work. ``left`` pictures of ``held`` bytes remain."""

    removed: int
    freed: int
    early: int
    left: int
    held: int


async def sweep(
    shelf: Shelf,
    *,
    now: datetime,
    keep: timedelta,
    promised: timedelta,
    most_bytes: int,
    most_removed: int,
) -> Swept:
    """One pass over everything, with at most ``most_removed`` removals and as many entries in memory.
    ``promised`` is how long links may work. Raises :class:`MediaFailed`."""
    removed = freed = early = left = held = 0
    oldest: list[tuple[float, str, Kept]] = []
    async for page in shelf.listing():
        for kept in page:
            if now - kept.since > keep and removed < most_removed:
                removed += await shelf.delete(kept.id)
                freed += kept.size
                continue
            left, held = left + 1, held + kept.size
            # The youngest of those remembered is at the top and makes room.
            entry = (-kept.since.timestamp(), kept.id, kept)
            if len(oldest) < most_removed:
                heappush(oldest, entry)
            else:
                heappushpop(oldest, entry)
    for *_, kept in sorted(oldest, reverse=True):
        if held <= most_bytes or removed >= most_removed:
            break
        removed += await shelf.delete(kept.id)
        early += now - kept.since <= promised
        left, held, freed = left - 1, held - kept.size, freed + kept.size
    return Swept(removed, freed, early, left, held)


class Sweepable(Protocol):
    async def sweep(self) -> Swept: ...


@asynccontextmanager
async def kept_swept(store: Sweepable, every: float) -> AsyncIterator[None]:
    """While this is open, the store is swept every so many seconds, at times that replicas do not share."""
    task = asyncio.create_task(_sweep_for_ever(store, every), name="sweep-media")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sweep_for_ever(store: Sweepable, every: float) -> None:
    while True:
        await asyncio.sleep(every * random.uniform(0.5, 1.5))
        try:
            swept = await store.sweep()
        except MediaFailed as error:
            _log.warning("media_not_swept", reason=error.strerror)
            continue
        except Exception:
            _log.exception("media_not_swept")
            continue
        if swept.removed:
            tell = _log.warning if swept.early else _log.info
            tell("media_swept", removed=swept.removed, bytes=swept.freed, early=swept.early, left=swept.left)
