"""From the first signal to the end of the process::

    the signal   /readyz says 503; new images, and those that wait for a place, are refused as ``draining``;
                 every answer closes its connection
    + delay      the listener closes; nobody waits for that after Ctrl+C
    ...          calls that were sent come to their end, and their answers to the clients
    grace - 10s  what still runs is broken off

A second signal breaks off at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from config.drain import LAST_SECONDS
from gateway.cli.server import Server
from gateway.engine.running import Running

_log = structlog.get_logger("imagegate")


@dataclass(frozen=True, slots=True)
class Times:
    """Of a drain, in seconds: ``delay`` until the listener closes, ``grace`` until the process ends."""

    delay: float
    grace: float


class Stopping:
    """Drains one server: call :meth:`told` for each signal, and await :meth:`until_done`. ``times`` are asked
    for when the drain begins."""

    def __init__(self, running: Running, server: Server, times: Callable[[], Times]) -> None:
        self._running = running
        self._server = server
        self._times_now = times
        self._times = times()
        self._begun = asyncio.Event()
        self._drain: asyncio.Task[bool] | None = None

    def told(self, number: signal.Signals) -> None:
        """The process was told to end. A terminal is no load balancer: Ctrl+C waits for nobody's notice."""
        if self._drain is not None:
            _log.warning("stopping at once", running=len(self._running))
            self._drain.cancel()
            return
        self._times = self._times_now()
        self._running.drain()
        self._server.connections.part()
        # It may take minutes, and somebody who sees nothing reaches for kill -9.
        _log.info(
            "stopping; what runs is finished first",
            running=len(self._running),
            at_most_seconds=round(self._times.grace),
        )
        delay = 0.0 if number == signal.SIGINT else self._times.delay
        self._drain = asyncio.get_running_loop().create_task(self._drained(delay))
        self._begun.set()

    @property
    def begun(self) -> bool:
        return self._begun.is_set()

    async def until_done(self) -> bool:
        """Wait for the signal and through the drain. False: something still runs, and is to be broken off."""
        await self._begun.wait()
        assert self._drain is not None
        await asyncio.wait([self._drain])
        return not self._drain.cancelled() and self._drain.result()

    async def _drained(self, delay: float) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(delay)
        self._server.close()
        try:
            async with asyncio.timeout_at(begun + self._times.grace - LAST_SECONDS):
                await self._everything_ended()
        except TimeoutError:
            _log.error("drain_cut_short", running=len(self._running), seconds=round(loop.time() - begun, 1))
            return False
        _log.info("drained", seconds=round(loop.time() - begun, 1))
        return True

    async def _everything_ended(self) -> None:
        """Calls and answers: a request that is being planned has no call yet, and an answer is still on its
        way when its call has ended."""
        while busy := {*self._running.tasks, *self._server.connections.tasks}:
            await asyncio.wait(busy)
