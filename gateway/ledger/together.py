"""Small steps of many callers in one transaction: a hundred clients that leave at once cost a few commits and
not a hundred, and those who are waiting to be admitted do not wait for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from gateway.errors import Unavailable
from gateway.ledger.store import Store, write

T = TypeVar("T")

MOST = 128
"""Steps of one transaction; more would keep the first of them waiting for the last."""


@dataclass(slots=True, eq=False)
class _Step:
    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]


class Together:
    """While one transaction is being committed, further steps gather for the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Step] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, durable. Raises :class:`Unavailable`, or what ``work`` raises, which undoes
        nobody else's step. A cancelled caller's step is taken all the same."""
        step = _Step(work, asyncio.get_running_loop().create_future())
        self._waiting.append(step)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        result: T = await step.done
        return result

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever else is ready in this turn of the loop joins
            steps, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._taken(steps)

    async def _taken(self, steps: Sequence[_Step]) -> None:
        try:
            results = await write(self._store, lambda connection: [each.work(connection) for each in steps])
        except Exception as error:
            if len(steps) == 1 or isinstance(error, Unavailable):
                for each in steps:
                    if not each.done.done():
                        each.done.set_exception(error)
            else:
                # One of them is at fault, and nothing of the others was written: each is taken alone.
                for each in steps:
                    await self._taken([each])
            return
        for each, result in zip(steps, results, strict=True):
            if not each.done.done():
                each.done.set_result(result)
