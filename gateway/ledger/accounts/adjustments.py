"""What became known of closed months afterwards, as lines of the month that books it.

* An attempt that had not ended when its month was closed, and has ended now: an adjustment, of the month in
  which it ended. Where that one is closed too (an end that waited beside a database that was away), it is
  booked in the first month that is open.
* An attempt of a closed month that was not in the ledger then: late. It cannot happen while clocks are right
  and a month is closed an hour after its end or later; the month before the first open one is searched for
  them all the same, as nothing may be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, select

from gateway.ledger.accounts.chunks import unpack
from gateway.ledger.accounts.lines import COLUMNS, Line, Maker
from gateway.ledger.accounts.live import Position
from gateway.ledger.accounts.months import Span
from gateway.ledger.accounts.tables import booked, carried, closed_months, month_chunks
from gateway.ledger.records import AttemptState
from gateway.ledger.rollups import chunks as parts
from gateway.ledger.tables import attempts, requests

_ENDED = (str(AttemptState.SETTLED), str(AttemptState.RELEASED))
_ROWS = attempts.join(requests, requests.c.request_id == attempts.c.request_id)


def adjustments(connection: Connection, span: Span, make: Maker, *, first_open: bool) -> list[Line]:
    """Those of ``span`` that are not booked. ``first_open``: the months before it are closed, so it also
    takes what ended before it began."""
    of_carried = (carried.c.month.label("carried_month"), carried.c.unknown.label("carried_unknown"))
    query: Select[Any] = (
        select(*[*COLUMNS, *of_carried])
        .select_from(
            _ROWS.join(carried, carried.c.attempt_id == attempts.c.attempt_id).outerjoin(
                booked, booked.c.attempt_id == carried.c.attempt_id
            )
        )
        .where(booked.c.attempt_id.is_(None), attempts.c.state.in_(_ENDED), attempts.c.ended_at < span.end)
        .order_by(attempts.c.ended_at, attempts.c.attempt_id)
    )
    if not first_open:
        query = query.where(attempts.c.ended_at >= span.start)
    rows = connection.execute(query).all()
    make.learn(connection, (row.key_id for row in rows))
    return [make.adjustment(row, span.start) for row in rows]


def late(connection: Connection, closed: Span, into: Span, make: Maker) -> list[Line]:
    """Attempts of the closed month that its snapshot lacks."""
    lines: list[Line] = []
    for part in parts(list(_missing(connection, closed))):
        query = select(*COLUMNS).select_from(_ROWS).where(attempts.c.attempt_id.in_(part))
        rows = connection.execute(query).all()
        make.learn(connection, (row.key_id for row in rows))
        lines += [make.late(row, str(closed.month), into.start) for row in rows]
    return sorted(lines, key=lambda line: (line.received_at, line.attempt_id))


def _missing(connection: Connection, closed: Span) -> Iterator[str]:
    snapshot = connection.execute(
        select(closed_months.c.attempts, closed_months.c.closing_id).where(
            closed_months.c.month == str(closed.month)
        )
    ).one()
    within = and_(requests.c.received_at >= closed.start, requests.c.received_at < closed.end)
    there = connection.scalar(select(func.count()).select_from(_ROWS).where(within))
    if there == snapshot.attempts:
        return
    of_it = month_chunks.c.closing_id == snapshot.closing_id
    numbers = connection.scalars(
        select(month_chunks.c.number).where(of_it).order_by(month_chunks.c.number)
    ).all()
    last: Position | None = None
    for number in numbers:
        chunk: Any = connection.execute(
            select(month_chunks).where(of_it, month_chunks.c.number == number)
        ).one()
        known = {line.attempt_id for line in unpack(chunk.body)}
        upto = Position(chunk.last_received_at, chunk.last_request_id)
        found = connection.scalars(_ids(within, _after(last), not_(_after(upto))))
        yield from (attempt_id for attempt_id in found if attempt_id not in known)
        last = upto
    yield from connection.scalars(_ids(within, _after(last)))


def _ids(*conditions: ColumnElement[bool]) -> Any:
    return select(attempts.c.attempt_id).select_from(_ROWS).where(*conditions)


def _after(position: Position | None) -> ColumnElement[bool]:
    received, request_id = requests.c.received_at, requests.c.request_id
    if position is None:
        return request_id.is_not(None)
    at = received == position.received_at
    return and_(received >= position.received_at, not_(and_(at, request_id <= position.request_id)))
