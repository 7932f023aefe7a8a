"""Answers that come after their attempts were given up. They are paid, so they are not thrown away: where the
request has brought nothing else, they are its answer, told at once or kept for who comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.engine.served import Served
from gateway.engine.whole import Whole


async def _nobody_waits() -> None:
    pass


@dataclass(slots=True, eq=False)
class LateAnswers:
    """Of one request. ``awaited`` calls may still end; ``then`` is done when the last of them has, once the
    client was told an error."""

    awaited: int = 0
    then: Callable[[], Awaitable[None]] = _nobody_waits
    _came: list[tuple[Served, Whole]] = field(default_factory=list)
    _told: bool = False
    _wanted: bool = True

    def expect(self) -> None:
        """An attempt is given up, and its call goes on."""
        self.awaited += 1

    async def ended(self, served: Served | None, whole: Whole | None) -> None:
        """Such a call has ended; the answer, where there is one, is given away. ``served``: by whom."""
        self.awaited -= 1
        if whole is not None:
            if self._wanted and served is not None and whole.lost is None:
                self._came.append((served, whole))
            else:
                whole.spool.close()
        if self._told and not self.awaited:
            await self.then()

    def taken(self) -> tuple[Served, Sequence[Whole]] | None:
        """What came so far of the candidate that brought most, now the caller's; the rest is freed."""
        came, self._came = self._came, []
        if not came:
            return None
        by: dict[int, list[tuple[Served, Whole]]] = {}
        for each in came:
            by.setdefault(id(each[0].candidate), []).append(each)
        best = max(by.values(), key=len)
        for each in came:
            if each not in best:
                each[1].spool.close()
        return best[0][0], [whole for _, whole in best]

    def told(self, *, error: bool) -> None:
        """The client has its answer. After an ``error`` what comes yet is wanted; else it is freed."""
        self._told, self._wanted = error, error
        if not error:
            came, self._came = self._came, []
            for _, whole in came:
                whole.spool.close()
