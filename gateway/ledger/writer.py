"""The one writer: everything that waits is committed together, and nobody is told before the COMMIT.

While one transaction is being made durable, further calls gather; the next transaction takes them all. So the
cost of an fsync is shared by as many requests as arrive during one, and a lone request waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from gateway.errors import Unavailable
from gateway.ledger.entries import Row, apply
from gateway.ledger.epochs import Superseded
from gateway.ledger.lapsed import Lapsed
from gateway.ledger.records import Entry, NewAttempt, NewRequest
from gateway.ledger.store import Store, Unasked, is_away, unavailable

WAITING = 10_000
"""Calls that may wait. Beyond it beginnings are refused, as nothing has been sent for them yet; ends are
always taken, as what was spent must be written."""

TOGETHER = 512
"""Calls in one transaction; more would keep the first of them waiting for the last."""

PATIENCE_SECONDS = 0.05
"""Seconds that rows nobody waits for may lie before they are written."""

Rows = Sequence[tuple[type[Entry], Row]]


@dataclass(slots=True, eq=False)
class _Waiting:
    rows: Rows
    durable: asyncio.Future[None]


class Writer:
    """Belongs to the event loop it was started in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def write(self, rows: Rows, *, patient: bool = False) -> None:
        """Return when the rows are durable; raise when they are not (see ``Ledger.record``). A ``patient``
        caller lets its rows wait up to ``PATIENCE_SECONDS`` for a transaction that somebody else needs.

        A caller that is cancelled while it waits takes nothing back: its rows may be in a transaction
        already, and they are written all the same.
        """
        if self._closing:
            raise unavailable(RuntimeError("the ledger is closed"), Unasked)
        if len(self._waiting) >= WAITING and any(kind in (NewRequest, NewAttempt) for kind, _ in rows):
            raise unavailable(RuntimeError(f"{len(self._waiting)} calls wait to be written"), Unasked)
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if patient and len(self._waiting) < TOGETHER:
            # One alarm, for the first of them: later ones would each wake a transaction for what came since.
            if self._alarm is None:
                self._alarm = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._wake.set)
        else:
            self._wake.set()
        await waiting.durable

    async def close(self) -> None:
        """Write what waits, then stop. Idempotent."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # whoever else is ready in this turn of the loop joins
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            while self._waiting:
                members, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._commit(members)

    async def _commit(self, members: Sequence[_Waiting]) -> None:
        error = await self._written(members)
        if error is None or len(members) == 1 or _is_of_store(error):
            _resolve(members, error)
            return
        # One of them is at fault: each gets a transaction of its own, so that it fails alone.
        for position, member in enumerate(members):
            error = await self._written([member])
            if _is_of_store(error):
                _resolve(members[position:], error)
                return
            _resolve([member], error)

    async def _written(self, members: Sequence[_Waiting]) -> Exception | None:
        """What kept the members from being committed. A connection that was lost on the way is replaced and
        the batch sent again, once: every row may be written twice."""
        rows = [row for member in members for row in member.rows]
        error = await self._attempt(rows)
        if getattr(error, "connection_invalidated", False):
            error = await self._attempt(rows)
        return unavailable(error) if error is not None and is_away(error) else error

    async def _attempt(self, rows: Rows) -> Exception | None:
        try:
            await self._store.write(lambda connection: apply(connection, rows))
        except Exception as error:
            return error
        return None


def _is_of_store(error: Exception | None) -> bool:
    """Whether all members fail alike."""
    return isinstance(error, Unavailable) and not isinstance(error, Superseded | Lapsed)


def _resolve(members: Sequence[_Waiting], error: Exception | None) -> None:
    for member in members:
        if member.durable.done():  # its caller was cancelled
            continue
        if error is None:
            member.durable.set_result(None)
        else:
            member.durable.set_exception(copy(error) if len(members) > 1 else error)
