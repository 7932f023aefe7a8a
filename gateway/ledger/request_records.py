"""A key's own requests, newest first, with their attempts and what is kept of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exists, not_, or_, select

from gateway.ledger import horizon
from gateway.ledger.kept_tables import results
from gateway.ledger.store import Store
from gateway.ledger.tables import attempts, requests

_LOST = ("interrupted", "lease_lapsed", "killed_in_flight")
"""What attempts say whose process ended under them."""


class Status(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Its process died: nobody knows how it ended."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is None is not asked about. ``after`` is the id of the request before the first."""

    after: str | None = None
    limit: int = 20
    ascending: bool = False
    client_request_id: str | None = None
    idempotency_key: str | None = None
    status: Status | None = None
    model: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Rows as the database has them; ``result`` None: nothing was kept of it."""

    request: RowMapping
    attempts: Sequence[RowMapping]
    result: RowMapping | None

    @property
    def status(self) -> Status:
        if self.request["ended_at"] is not None:
            return Status.SUCCEEDED if self.request["status"] < 400 else Status.FAILED
        lost = any(each["error_code"] in _LOST for each in self.attempts)
        if self.result is not None and self.result["state"] == "lost":
            lost = True  # the process ended after the provider had answered
        return Status.UNKNOWN if lost else Status.RUNNING


class RequestRecords:
    """Everything is asked with the key whose requests are meant; those of others are as good as not there.
    Raises :class:`gateway.errors.Unavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request_id: str, key_id: str) -> RequestRecord | None:
        mine = and_(requests.c.request_id == request_id, requests.c.key_id == key_id)
        found = await self._store.read(partial(_records, where=mine, limit=1))
        return found[0] if found else None

    async def list(self, key_id: str, wanted: Filter) -> tuple[Sequence[RequestRecord], bool] | None:
        """A page, and whether there is more; None where ``after`` is no request of this key."""
        return await self._store.read(partial(_page, key_id=key_id, wanted=wanted))


def _page(connection: Connection, key_id: str, wanted: Filter) -> tuple[Sequence[RequestRecord], bool] | None:
    where = [requests.c.key_id == key_id, *_conditions(wanted)]
    if wanted.after is not None:
        place = connection.execute(
            select(requests.c.received_at, requests.c.request_id).where(
                requests.c.request_id == wanted.after, requests.c.key_id == key_id
            )
        ).first()
        if place is None:
            return None
        where.append(_beyond(place.received_at, place.request_id, ascending=wanted.ascending))
    found = _records(connection, and_(*where), wanted.limit + 1, ascending=wanted.ascending)
    return found[: wanted.limit], len(found) > wanted.limit


def _beyond(at: datetime, request_id: str, *, ascending: bool) -> ColumnElement[bool]:
    when, who = requests.c.received_at, requests.c.request_id
    if ascending:
        return or_(when > at, and_(when == at, who > request_id))
    return or_(when < at, and_(when == at, who < request_id))


def _conditions(wanted: Filter) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.client_request_id is not None:
        found.append(requests.c.client_request_id == wanted.client_request_id)
    if wanted.model is not None:
        found.append(requests.c.model == wanted.model)
    if wanted.since is not None:
        found.append(requests.c.received_at >= wanted.since)
    if wanted.idempotency_key is not None:
        found.append(
            exists().where(
                results.c.request_id == requests.c.request_id,
                results.c.idempotency_key == wanted.idempotency_key,
            )
        )
    if wanted.status is not None:
        found.append(_has_status(wanted.status))
    return found


def _has_status(status: Status) -> ColumnElement[bool]:
    ended = requests.c.ended_at.is_not(None)
    if status is Status.SUCCEEDED:
        return and_(ended, requests.c.status < 400)
    if status is Status.FAILED:
        return and_(ended, requests.c.status >= 400)
    lost = or_(
        exists().where(attempts.c.request_id == requests.c.request_id, attempts.c.error_code.in_(_LOST)),
        exists().where(results.c.request_id == requests.c.request_id, results.c.state == "lost"),
    )
    return and_(not_(ended), lost if status is Status.UNKNOWN else not_(lost))


def _told(connection: Connection) -> ColumnElement[bool]:
    """Those that the log still has whole."""
    return requests.c.received_at >= horizon.told_from(connection)


def _records(
    connection: Connection, where: ColumnElement[bool], limit: int, *, ascending: bool = False
) -> list[RequestRecord]:
    order = (requests.c.received_at, requests.c.request_id)
    query = select(requests).where(where, _told(connection)).limit(limit)
    query = query.order_by(*order if ascending else (each.desc() for each in order))
    found = connection.execute(query).mappings().all()
    ids = [row["request_id"] for row in found]
    tried: dict[str, list[RowMapping]] = {}
    of_these = select(attempts).where(attempts.c.request_id.in_(ids)).order_by(attempts.c.ordinal)
    for row in connection.execute(of_these).mappings():
        tried.setdefault(row["request_id"], []).append(row)
    kept: dict[Any, RowMapping] = {
        row["request_id"]: row
        for row in connection.execute(select(results).where(results.c.request_id.in_(ids))).mappings()
    }
    return [
        RequestRecord(row, tried.get(row["request_id"], []), kept.get(row["request_id"])) for row in found
    ]
