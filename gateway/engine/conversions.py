"""Room for conversions: how many run at once, and how many pixels they hold, over all requests.

Pillow lets go of the interpreter while it works, so conversions run in threads; a bounded number of them
leaves the machine to the event loop. Whoever waits is served in order, until its request's deadline.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import TypeVar

PIXELS = 64_000_000
"""Decoded pixels of all conversions together, each of which takes about 4 to 8 bytes."""

_NICE = 10

A = TypeVar("A")
T = TypeVar("T")


class NoRoomInTime(Exception):
    """The deadline came before there was room, or before the work was done."""


class Conversions:
    """One per process. ``threads`` None means one for each core but one."""

    def __init__(self, threads: int | None = None, pixels: int = PIXELS) -> None:
        threads = threads or max((os.cpu_count() or 1) - 1, 1)
        self._free = threads
        self._pixels = pixels
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="convert", initializer=_step_back)

    async def run(self, work: Callable[[], T], *, pixels: int, deadline: float) -> T:
        """The outcome of ``work`` in a thread. ``pixels`` are those that it decodes, ``deadline`` is in
        ``perf_counter`` seconds. Raises :class:`NoRoomInTime` or what ``work`` raises; work that has begun
        goes on when nobody waits for it any more, and keeps its room until it ends."""
        return await self.run_on(_nothing, lambda _: work(), pixels=pixels, deadline=deadline)

    async def run_on(
        self, load: Callable[[], Awaitable[A]], work: Callable[[A], T], *, pixels: int, deadline: float
    ) -> T:
        """As :meth:`run`, with what ``load`` gives; it is asked once there is room, so that nobody holds a
        picture while it waits."""
        try:
            async with asyncio.timeout(max(deadline - perf_counter(), 0.0)):
                await self._room(pixels)
                try:
                    loaded = await load()
                    running = self._threads.submit(work, loaded)
                except BaseException:
                    self._leave(pixels)
                    raise
                running.add_done_callback(partial(self._left, asyncio.get_running_loop(), pixels))
                del loaded
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise NoRoomInTime from None

    def close(self) -> None:
        """Work that has not begun never does."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _left(self, loop: asyncio.AbstractEventLoop, pixels: int, _: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it all who wait
            loop.call_soon_threadsafe(self._leave, pixels)

    async def _room(self, pixels: int) -> None:
        if not self._waiting and self._fits(pixels):
            self._enter(pixels)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pixels, turn))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._leave(pixels)  # it was let in at the moment it gave up
            else:
                with suppress(ValueError):
                    self._waiting.remove((pixels, turn))
                self._let_in()
            raise

    def _fits(self, pixels: int) -> bool:
        # One that is larger than all the room may have it alone.
        return self._free > 0 and (self._held == 0 or self._held + pixels <= self._pixels)

    def _enter(self, pixels: int) -> None:
        self._free -= 1
        self._held += pixels

    def _leave(self, pixels: int) -> None:
        self._free += 1
        self._held -= pixels
        self._let_in()

    def _let_in(self) -> None:
        """In order: a large picture is not passed for ever by small ones."""
        while self._waiting and self._fits(self._waiting[0][0]):
            pixels, turn = self._waiting.popleft()
            if not turn.done():  # who gave up is told so only in the loop's next round
                self._enter(pixels)
                turn.set_result(None)


def _step_back() -> None:
    """Let the event loop go first where both want the core: on Linux this is for the calling thread alone."""
    if sys.platform == "linux":
        os.nice(_NICE)


async def _nothing() -> None:
    """There is nothing to load."""
