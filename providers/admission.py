"""How many calls one upstream account may have at once; the rest wait their turn, within their deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from providers.base import Certainty, Kind, ProviderError


class Admission:
    """``max_in_flight`` None lets everything in. First come, first served; a cancelled wait takes none."""

    def __init__(self, max_in_flight: int | None) -> None:
        self._places = asyncio.Semaphore(max_in_flight) if max_in_flight is not None else None

    @asynccontextmanager
    async def place(self, starts_by: float, provider: str) -> AsyncIterator[None]:
        """Hold a place for one call. ``starts_by`` is in the running loop's time; raises
        :class:`ProviderError` (overloaded, not_sent) when no place came free until then."""
        if self._places is None:
            yield
            return
        try:
            async with asyncio.timeout_at(starts_by):
                await self._places.acquire()
        except TimeoutError:
            raise ProviderError(
                Kind.OVERLOADED,
                Certainty.NOT_SENT,
                f"All places for calls to provider '{provider}' stayed taken until the deadline.",
            ) from None
        try:
            yield
        finally:
            self._places.release()
