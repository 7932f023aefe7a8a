"""Answers that somebody may come back for: who may, what became of the call, and where its bytes are.

Each step is one transaction with one conditional statement that decides, so that any number of replicas can
take it at once and one of them wins. Tables and states: kept_tables.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger.kept_tables import ORPHANED, RUNNING, outbox, results
from gateway.ledger.outbox import Message, row_of
from gateway.ledger.store import Store
from gateway.ledger.tables import attempts
from gateway.ledger.together import Together

TOGETHER = 500
"""Rows that one step of the sweep takes."""

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class Result:
    """One row. ``state`` is running, done, lost or expired; what is None is not known (yet)."""

    request_id: str
    project_id: str
    key_id: str
    route: str
    fingerprint: str
    begun_at: datetime
    lease_until: datetime
    idempotency_key: str | None = None
    respond_async: bool = False
    state: str = "running"
    left_at: datetime | None = None
    claimed_by: str | None = None
    ended_at: datetime | None = None
    status: int | None = None
    headers: str | None = None
    content_type: str | None = None
    media_id: str | None = None
    size: int | None = None
    error: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call. ``headers`` and ``error`` are JSON. Without ``media_id`` and ``error``, what was
    answered could not be kept."""

    status: int
    ended_at: datetime
    expires_at: datetime
    headers: str | None = None
    content_type: str | None = None
    media_id: str | None = None
    size: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A call that its client left, as those who look for one know it."""

    key_id: str
    route: str
    fingerprint: str
    left_at: datetime


class Results:
    """All methods may raise :class:`gateway.errors.Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._together = Together(store)
        self.shared = store.dialect != "sqlite"
        """Whether other replicas may write here, too."""

    async def begin(self, row: Result) -> Result | None:
        """Write a row with an idempotency key, or one for ``respond-async``; the row that has the key already
        is returned instead."""

        def step(connection: Connection) -> Result | None:
            insert = _INSERTS[connection.dialect.name](results).values(**_values(row))
            while connection.execute(insert.on_conflict_do_nothing()).rowcount != 1:
                if (found := _one(connection, _of_key(row))) is not None:
                    return found
                # It was there a moment ago, and its call turned out to have made nothing.
            return None

        return await self._together.write(step)

    async def leave(self, row: Result) -> None:
        """The client of a call without a key has left: from now on its answer may be claimed."""
        insert = _INSERTS[self._store.dialect](results).values(**_values(row))
        left = insert.on_conflict_do_update(
            index_elements=["request_id"],
            set_={"left_at": insert.excluded.left_at},
            where=and_(results.c.idempotency_key.is_(None), results.c.claimed_by.is_(None)),
        )
        await self._together.write(lambda connection: connection.execute(left))

    async def get(self, request_id: str) -> Result | None:
        query = select(results).where(results.c.request_id == request_id)
        return await self._store.read(lambda connection: _one(connection, query))

    async def claim(
        self, key_id: str, route: str, fingerprint: str, *, by: str, since: datetime, now: datetime
    ) -> Result | None:
        """Take the oldest orphan of these that was left at ``since`` or later; each is had by one caller."""
        fits = and_(
            ORPHANED,
            results.c.idempotency_key.is_(None),
            results.c.key_id == key_id,
            results.c.route == route,
            results.c.fingerprint == fingerprint,
            results.c.left_at >= since,
            or_(
                and_(results.c.state == "running", results.c.lease_until > now),
                and_(results.c.state == "done", results.c.expires_at > now),
            ),
        )
        oldest = select(results.c.request_id).where(fits).order_by(results.c.left_at, results.c.request_id)

        def step(connection: Connection) -> Result | None:
            while (found := connection.scalar(oldest.limit(1))) is not None:
                take = update(results).where(results.c.request_id == found, fits).values(claimed_by=by)
                if connection.execute(take).rowcount == 1:
                    return _one(connection, select(results).where(results.c.request_id == found))
            return None

        return await self._together.write(step)

    async def unclaim(self, request_id: str, by: str, now: datetime) -> None:
        """The one that claimed it has left, too: it may be claimed again."""
        mine = and_(results.c.request_id == request_id, results.c.claimed_by == by)
        give_back = update(results).where(mine).values(claimed_by=None, left_at=now)
        await self._together.write(lambda connection: connection.execute(give_back))

    async def finish(self, request_id: str, outcome: Outcome, message: Message | None = None) -> bool:
        """Write what became of a call, and with it the message that tells of it. May be repeated. False where
        the row is no longer there, or has another end."""
        values = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
        # One that was taken for lost, while its replica could not reach the database, has ended after all.
        open_ones = results.c.state.in_(["running", "lost"])
        mine = results.c.request_id == request_id
        done = update(results).where(mine, open_ones)
        told = select(results.c.ended_at, results.c.media_id).where(mine, results.c.state == "done")

        def step(connection: Connection) -> bool:
            if connection.execute(done.values(state="done", **values)).rowcount != 1:
                return connection.execute(told).first() == (outcome.ended_at, outcome.media_id)
            if message is not None:
                connection.execute(outbox.insert(), row_of(message))
            return True

        return await self._together.write(step)

    async def forget(self, request_id: str) -> None:
        """The call made nothing, so its key is free."""
        gone = delete(results).where(results.c.request_id == request_id, RUNNING)
        await self._together.write(lambda connection: connection.execute(gone))

    async def renew(self, ids: Sequence[str], until: datetime) -> None:
        mine = update(results).where(results.c.request_id.in_(ids), RUNNING).values(lease_until=until)
        await self._together.write(lambda connection: connection.execute(mine))

    async def lapse(self, now: datetime, keep: timedelta, *, all_running: bool = False) -> int:
        """Running calls whose replica is gone become ``lost``; those of which nothing was ever sent are
        forgotten. ``all_running``: this process is the only one and has just begun."""
        gone = RUNNING if all_running else and_(RUNNING, results.c.lease_until <= now)
        sent = exists().where(attempts.c.request_id == results.c.request_id)
        lost = update(results).where(gone, sent).values(state="lost", ended_at=now, expires_at=now + keep)

        def step(connection: Connection) -> int:
            count = connection.execute(lost).rowcount
            return count + connection.execute(delete(results).where(gone, ~sent)).rowcount

        return await self._together.write(step)

    async def expire(self, now: datetime, keep: timedelta) -> Sequence[str]:
        """End up to ``TOGETHER`` rows whose time is over; returns the ids of media that go with them. A key
        is known for ``keep`` longer than its answer."""
        due = (
            select(results.c.request_id, results.c.media_id, results.c.state, results.c.idempotency_key)
            .where(results.c.expires_at <= now)
            .order_by(results.c.expires_at)
            .limit(TOGETHER)
        )

        def step(connection: Connection) -> Sequence[str]:
            rows = connection.execute(due).all()
            known = [x.request_id for x in rows if x.state == "done" and x.idempotency_key is not None]
            others = [x.request_id for x in rows if x.request_id not in set(known)]
            over = update(results).where(results.c.request_id.in_(known), results.c.state == "done")
            connection.execute(
                over.values(state="expired", media_id=None, error=None, headers=None, expires_at=now + keep)
            )
            connection.execute(delete(results).where(results.c.request_id.in_(others)))
            return [x.media_id for x in rows if x.media_id is not None]

        return await self._together.write(step)

    async def orphans(self, since: datetime) -> Sequence[Orphan]:
        """Those that may be claimed and were left at ``since`` or later."""
        columns = (results.c.key_id, results.c.route, results.c.fingerprint, results.c.left_at)
        query = select(*columns).where(
            ORPHANED, results.c.left_at >= since, results.c.idempotency_key.is_(None)
        )
        return await self._store.read(partial(_orphans, query=query))


def _orphans(connection: Connection, query: Select[Any]) -> Sequence[Orphan]:
    return [Orphan(*row) for row in connection.execute(query)]


def _of_key(row: Result) -> Select[Any]:
    return select(results).where(
        results.c.key_id == row.key_id,
        results.c.route == row.route,
        results.c.idempotency_key == row.idempotency_key,
    )


def _one(connection: Connection, query: Select[Any]) -> Result | None:
    found = connection.execute(query).mappings().first()
    if found is None:
        return None
    row = Result(**found)
    return replace(row, respond_async=bool(row.respond_async))


def _values(row: Result) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in Result.__dataclass_fields__}
    return {**values, "respond_async": int(row.respond_async)}
