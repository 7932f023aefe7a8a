"""Removing what was kept for long enough: the log of requests, and in the end the rows themselves.

Rows go from the oldest on, and only where nothing can ask for them or change their sums again:

* their month and the month after it are closed: a late line is looked for until then (``accounts/``);
* no call from before, or up to a day after, is open or carried into an open month;
* the rollups have made their sums there. These stay, and are what limits and reports read from then on
  (``rollups.py``): what was spent is never handed back.

First the new beginning is written down (``horizon.py``), then rows go in small transactions, with pauses in
between. Each may be repeated and cut short: whatever lies before the beginning is removed by the next turn.
"""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection, delete, func, or_, select, text, update

from gateway.ledger import horizon
from gateway.ledger.accounts.tables import booked, carried, closed_months
from gateway.ledger.rollups import Rollup
from gateway.ledger.store import Store, write
from gateway.ledger.tables import OPEN, attempts, from_micros, requests, rollup_marks, to_micros
from gateway.ledger.touched import ROLLUPS

T = TypeVar("T")

TOGETHER = 500
"""Requests of one transaction: those who wait to be admitted wait for it."""

REST = 3
"""Pauses between transactions are this much longer than they are."""

_ADVISORY_LOCK = 0x696D6167656B  # beside those of migrate.py, epochs.py, rollups.py and journal.py

LOGGED = (
    "end_user",
    "client_request_id",
    "adjustments",
    "size_requested",
    "size_sent",
    "size_received",
    "size_rule",
)
"""Columns of requests that only the log needs."""


class Wait(StrEnum):
    """Why rows stay that are old enough to go."""

    MONTH = "month_not_closed"
    OPEN = "call_not_ended"
    CARRIED = "adjustment_not_closed"
    SUMS = "sums_not_made"


@dataclass(frozen=True, slots=True)
class Retained:
    """What one turn did: so many requests were ``cleared`` from the log, so many ``requests`` and
    ``attempts`` removed. There are rows from ``rows_from`` on (None: all of them). ``waits`` says why older
    ones than that are not gone; None: nothing keeps them."""

    cleared: int
    requests: int
    attempts: int
    rows_from: datetime | None
    waits: Wait | None


class Retention:
    """``ledger.retention``. Several replicas may run it at once: one of them works."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, now: datetime, *, log: timedelta, rows: timedelta) -> Retained:
        """One turn, to its end. Raises :class:`gateway.errors.Unavailable`."""
        await self._written(lambda c: _end_log(c, now - log))
        cleared, _ = await self._batches(_clear)
        waits = await self._written(lambda c: _begin_later(c, now - rows))
        removed, tried = await self._batches(_remove)
        return Retained(cleared, removed, tried, await self._store.read(horizon.rows_from), waits)

    async def _batches(self, step: Callable[[Connection], tuple[int, int]]) -> tuple[int, int]:
        """Sums of requests and of attempts, over as many transactions as it takes."""
        done = tried = 0
        while True:
            begun = time.monotonic()
            count, attempted = await self._written(step) or (0, 0)
            done, tried = done + count, tried + attempted
            if count < TOGETHER:
                return done, tried
            await sleep(REST * (time.monotonic() - begun))

    async def _written(self, step: Callable[[Connection], T]) -> T | None:
        """None: another replica is at it."""
        return await write(self._store, lambda c: step(c) if _mine(c) else None)


def _mine(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    lock = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(connection.scalar(lock, {"key": _ADVISORY_LOCK}))


def _end_log(connection: Connection, before: datetime) -> None:
    micros = max(to_micros(before), 0)
    if micros > horizon.of(connection, horizon.LOG):
        horizon.put(connection, horizon.LOG, micros)


def _clear(connection: Connection) -> tuple[int, int]:
    """Clear some requests that the log tells of no longer; fewer than ``TOGETHER``: those were the last.
    Attempts stay as they are."""
    done, end = (horizon.of(connection, name) for name in (horizon.CLEARED, horizon.LOG))
    if done >= end:
        return 0, 0
    received = requests.c.received_at
    some = connection.execute(
        select(requests.c.request_id, received)
        .where(
            received >= from_micros(done),
            received < from_micros(end),
            or_(*(requests.c[name].is_not(None) for name in LOGGED)),
        )
        .order_by(received)
        .limit(TOGETHER)
    ).all()
    if some:
        ids = [row.request_id for row in some]
        connection.execute(
            update(requests).where(requests.c.request_id.in_(ids)).values(dict.fromkeys(LOGGED))
        )
    horizon.put(connection, horizon.CLEARED, end if len(some) < TOGETHER else to_micros(some[-1].received_at))
    return len(some), 0


def _begin_later(connection: Connection, before: datetime) -> Wait | None:
    """Let the rows begin at ``before``, or where something keeps them earlier: then why."""
    was = horizon.of(connection, horizon.ROWS)
    oldest = connection.scalar(select(func.min(requests.c.received_at)))
    if oldest is None or oldest >= before:
        return None
    new, waits = horizon.whole_hour(before), None
    for wait, least in (
        (Wait.MONTH, _first_of_last_closed(connection)),
        (Wait.OPEN, _oldest_open(connection)),
        (Wait.CARRIED, _oldest_carried(connection)),
        (Wait.SUMS, _oldest_marked(connection)),
    ):
        if least is not None and least < new:
            new, waits = least, wait
    if new > was:
        horizon.put(connection, horizon.ROWS, new)
    return waits


def _first_of_last_closed(connection: Connection) -> int:
    begun = connection.scalar(select(func.max(closed_months.c.starts_at)))
    return 0 if begun is None else horizon.whole_hour(begun)


def _oldest_open(connection: Connection) -> int | None:
    moments = select(func.min(attempts.c.admitted_at), func.min(attempts.c.received_at)).where(OPEN)
    return _a_day_before(*connection.execute(moments).one())


def _oldest_carried(connection: Connection) -> int | None:
    """Of calls that have ended since their month was closed, and are in no closed month yet."""
    pending = carried.join(attempts, attempts.c.attempt_id == carried.c.attempt_id).outerjoin(
        booked, booked.c.attempt_id == carried.c.attempt_id
    )
    moment = select(func.min(attempts.c.received_at)).select_from(pending)
    return _a_day_before(connection.scalar(moment.where(booked.c.attempt_id.is_(None))))


def _oldest_marked(connection: Connection) -> int | None:
    found = [_marked(connection, rollup) for rollup in ROLLUPS]
    return min((each for each in found if each is not None), default=None)


def _marked(connection: Connection, rollup: Rollup) -> int | None:
    oldest = select(func.min(rollup_marks.c.slot)).where(rollup_marks.c.rollup == rollup.name)
    slot = connection.scalar(oldest)
    return None if slot is None else _a_day_before(from_micros(slot * rollup.slot_micros))


def _a_day_before(*moments: datetime | None) -> int | None:
    known = [each for each in moments if each is not None]
    return horizon.whole_hour(min(known)) - horizon.NEAR_MICROS if known else None


def _remove(connection: Connection) -> tuple[int, int]:
    """Remove some requests from before the rows' beginning, with their attempts."""
    begin = horizon.of(connection, horizon.ROWS)
    if not begin:
        return 0, 0
    some = (
        select(requests.c.request_id)
        .where(requests.c.received_at < from_micros(begin))
        .order_by(requests.c.received_at)
        .limit(TOGETHER)
    )
    ids = connection.scalars(some).all()
    if not ids:
        return 0, 0
    tried = connection.execute(delete(attempts).where(attempts.c.request_id.in_(ids))).rowcount
    return connection.execute(delete(requests).where(requests.c.request_id.in_(ids))).rowcount, tried
