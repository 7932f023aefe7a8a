"""Time without waiting: generators that yield the seconds they sleep, run in the order of a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from itertools import count

Task = Generator[float, None, None]


class Clock:
    """Starts at 0 seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = count()
        self._due: list[tuple[float, int, Task]] = []

    def start(self, task: Task, at: float | None = None) -> None:
        heapq.heappush(self._due, (self.now if at is None else at, next(self._numbers), task))

    def run(self) -> None:
        """Until every task has ended."""
        while self._due:
            self.now, _, task = heapq.heappop(self._due)
            try:
                seconds = next(task)
            except StopIteration:
                continue
            heapq.heappush(self._due, (self.now + seconds, next(self._numbers), task))
