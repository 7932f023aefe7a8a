"""The line before one account: who gets a place, who waits, and who is sent on at once.

A request that could not be served in time even if it got its turn is refused now, not at its deadline: the
next target, or the client, can still do something with the time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

from gateway.routing.concurrency import ConcurrencyCap


class Refusal(StrEnum):
    FULL = "queue_full"
    TOO_LATE = "too_late"


class NoPlace(Exception):
    """Not admitted, and nothing was sent. ``retry_after`` is in seconds, where it can be told."""

    def __init__(self, because: Refusal, retry_after: float | None) -> None:
        super().__init__(because.value)
        self.because = because
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Line:
    """The line as a newcomer finds it. ``cap`` None: no bound on calls at once. ``mean`` is how many seconds
    a call takes there, None where that is not known."""

    in_flight: int
    cap: int | None
    waiting: int
    max_queue: int
    mean: float | None = None

    @property
    def is_free(self) -> bool:
        return self.cap is None or (self.waiting == 0 and self.in_flight < self.cap)

    @property
    def expected_wait(self) -> float:
        """Seconds until a newcomer's turn: a place comes free every mean / cap seconds."""
        if self.is_free or self.cap is None or self.mean is None:
            return 0.0
        return (self.waiting + 1 + max(self.in_flight - self.cap, 0)) * self.mean / self.cap


def verdict(line: Line, p95: float | None, remaining: float) -> Refusal | None:
    """Why a newcomer with ``remaining`` seconds is refused; None where it may go, or wait for its turn.
    ``p95``: 95 of 100 pictures of its shape take at most so many seconds (None: not known)."""
    if line.is_free:
        return None
    if line.waiting >= line.max_queue:
        return Refusal.FULL
    if line.expected_wait + (p95 or 0.0) > remaining:
        return Refusal.TOO_LATE
    return None


class AdmissionQueue:
    """Of one account, first come, first served. ``mean`` tells how many seconds a call takes there now."""

    def __init__(self, cap: ConcurrencyCap, max_queue: int, mean: Callable[[], float | None]) -> None:
        self.cap = cap
        self._max_queue = max_queue
        self._mean = mean
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed: Exception | None = None

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, p95: float | None, remaining: float) -> AsyncIterator[None]:
        """Hold a place for one call. Raises :class:`NoPlace` at once, or after ``remaining`` seconds when the
        line moved more slowly than it promised."""
        line = Line(self._in_flight, self.cap.now, len(self._waiting), self._max_queue, self._mean())
        refusal = verdict(line, p95, remaining)
        if refusal is not None:
            raise NoPlace(refusal, line.expected_wait or None)
        if line.is_free:
            self._in_flight += 1
        else:
            await self._turn(remaining)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._admit()

    def reconfigured(self, most: int | None, max_queue: int) -> None:
        """Other bounds from now on. Who waits keeps his place in the line."""
        self.cap.reconfigured(most)
        self._max_queue = max_queue
        self._admit()

    def turn_away(self, error: Exception) -> None:
        """Everyone who waits gets ``error`` instead of a place, and whoever would have to from now on."""
        self._closed = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    async def _turn(self, remaining: float) -> None:
        if self._closed is not None:
            raise self._closed
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(max(remaining, 0.0)):
                await turn
        except BaseException as error:
            placed = turn.done() and not turn.cancelled() and turn.exception() is None
            if placed:  # the place came in the same moment: hand it on
                self._in_flight -= 1
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn)
            self._admit()
            if isinstance(error, TimeoutError):
                raise NoPlace(Refusal.TOO_LATE, None) from None
            raise

    def _admit(self) -> None:
        """Call up those whose turn it is. A cap that was made less is reached by calls that end."""
        while self._waiting and (self.cap.now is None or self._in_flight < self.cap.now):
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
