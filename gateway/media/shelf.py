"""Where pictures lie: what a folder on disk and a bucket have in common. Shapes only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class MediaFailed(OSError):
    """The store cannot take or give a picture now: full, away, or not allowed. Names no place."""


class MediaGone(LookupError):
    """There is no such picture: removed, swept, or never there."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A kept picture. ``chunks`` may be read once and raise :class:`MediaFailed`; ``aclose`` exactly once."""

    size: int
    chunks: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry of a listing; ``size`` in bytes, ``since`` UTC."""

    id: str
    size: int
    since: datetime


class Shelf(Protocol):
    """All methods raise :class:`MediaFailed`. Several processes may use one shelf at once."""

    async def put(self, id: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep a picture, whole or not at all; its size in bytes. What ``chunks`` raises passes through."""
        ...

    async def open(self, id: str) -> Opened:
        """Raises :class:`MediaGone`."""
        ...

    async def delete(self, id: str) -> bool:
        """Whether it was there; removing twice is no error."""
        ...

    def listing(self, beginning: str = "") -> AsyncIterator[list[Kept]]:
        """Everything, or what begins with at least two characters of an id, in pages of any size."""
        ...

    async def tidy(self, now: datetime) -> None:
        """Remove what interrupted writes left behind."""
        ...

    async def aclose(self) -> None: ...
