"""The requests that are running now. Each owns its task, so that a client that leaves, or a response that is
cancelled, never cancels a call that was already dispatched. Whether the process may end is decided here, and
not by the connections that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Set
from contextlib import suppress
from typing import Any, TypeVar

from gateway.errors import Unavailable
from gateway.ledger.records import RequestEnd

T = TypeVar("T")


class Draining(Unavailable):
    """The process is about to end, and the call was not sent. Another replica takes it, or the next process
    here."""

    code = "draining"

    def __init__(self) -> None:
        super().__init__(
            "This gateway is being restarted and takes no new images. Nothing was sent and nothing is "
            "charged; send the request again, over a new connection.",
            retry_after=1.0,
        )


class Running:
    """Tasks in flight; ``drained`` waits for the last of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._at_drain: list[Callable[[], None]] = []
        self._told = asyncio.Event()
        self.cut: list[RequestEnd] = []
        """Last rows of requests that :meth:`cancel` broke off; nobody has written them yet."""
        self.draining = False
        """Whether nothing new is taken any more."""

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def tasks(self) -> Set[asyncio.Task[Any]]:
        return self._tasks

    def admit(self) -> None:
        """Raises :class:`Draining` where nothing new is taken."""
        if self.draining:
            raise Draining

    async def pause(self, seconds: float) -> None:
        """Wait before something new. Raises :class:`Draining` as soon as nothing new is taken."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), seconds)
        self.admit()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Also while draining: what runs may need further steps to its end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def when_draining(self, act: Callable[[], None]) -> None:
        """``act`` is called once, when the drain begins."""
        self._at_drain.append(act)

    def drain(self) -> None:
        """From now on nothing new is taken. Idempotent."""
        if self.draining:
            return
        self.draining = True
        self._told.set()
        for act in self._at_drain:
            act()

    async def drained(self, timeout: float) -> bool:
        """True when nothing runs any more; False when ``timeout`` seconds passed first."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await asyncio.wait(self._tasks, timeout=left)
        return True

    async def cancel(self) -> None:
        """Break off what runs; nobody hears of it any more."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
