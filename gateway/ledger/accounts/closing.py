"""Closing a month: its lines are written down as they stand, once and for good.

It goes step by step, so that nobody waits for it: each step reads some lines and keeps them as a chunk, in a
transaction of its own; the last one writes what belongs to the month besides and declares it closed. A line
is written as it stands when it is read. One that has ended never changes again, and one that has not is
carried: what becomes of it is an adjustment of a later month. So no two steps need to see the same moment.

Several closings of one month may run; the first that ends is the one that counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, insert, select, type_coerce

from gateway.errors import GatewayError, InvalidRequest
from gateway.ledger.accounts import journal
from gateway.ledger.accounts.adjustments import adjustments, late
from gateway.ledger.accounts.chunks import digest_over, pack
from gateway.ledger.accounts.lines import ADJUSTMENT, FORMAT, Line, Maker
from gateway.ledger.accounts.live import Position, first_month, page
from gateway.ledger.accounts.months import SETTLING, Month, Span, span
from gateway.ledger.accounts.tables import booked, carried, closed_months, credits, month_chunks
from gateway.ledger.tables import BigInt

Chunk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """Sums as in :class:`gateway.ledger.accounts.lines.Totals`."""

    span: Span
    closing_id: str
    timezone: str
    organization: str
    closed_at: datetime
    closed_by: str
    chunks: int
    lines: int
    attempts: int
    cost: int
    credits: int
    unknown: int
    unknown_lines: int
    labels: Sequence[str]
    tags: Sequence[str]
    digest: str


@dataclass(frozen=True, slots=True)
class Closer:
    """Who closes a month, and what the month then says of itself."""

    closing_id: str
    timezone: str
    organization: str
    entered_by: str
    signing_key: bytes


def closed(connection: Connection) -> dict[Month, ClosedMonth]:
    """Every closed month, oldest first."""
    rows = connection.execute(select(closed_months).order_by(closed_months.c.starts_at))
    return {Month.parse(row.month): _closed(row) for row in rows}


def spans(months: Mapping[Month, ClosedMonth]) -> dict[Month, Span]:
    return {month: each.span for month, each in months.items()}


def due(connection: Connection, month: Month, zone: ZoneInfo, now: datetime) -> Span:
    """The span of a month that can be closed now. Raises :class:`InvalidRequest` where it is too early, or
    where an earlier month is open."""
    months = closed(connection)
    here = span(month, zone, spans(months))
    if now < here.end + SETTLING:
        ready = (here.end + SETTLING).astimezone(zone)
        raise InvalidRequest(
            f"{month} can be closed from {ready:%Y-%m-%d %H:%M %Z} on, when its calls have ended.",
            param="month",
        )
    first = min(months, default=None)
    oldest = first_month(connection, zone)
    if first is not None and month < first:
        raise InvalidRequest(f"The accounts begin with {first}; nothing was closed before.", param="month")
    if oldest is None:
        raise InvalidRequest("The ledger is empty; there is nothing to close.", param="month")
    next_due = oldest if first is None else max(months).next
    if month < next_due:
        raise InvalidRequest(f"The ledger begins with {oldest}.", param="month")
    if month > next_due:
        raise InvalidRequest(
            f"Months are closed in their order, and {next_due} is open. Close it first, or all of them with "
            "--with-earlier.",
            param="month",
        )
    return here


def next_chunk(connection: Connection, here: Span, closing_id: str, make: Maker) -> Chunk | None:
    """What follows on the chunks that this closing has; None: only the end does."""
    number, last = _position(connection, closing_id)
    found = page(connection, here, last, make)
    if found.after is None:
        return None
    return pack(closing_id, str(here.month), number, found.lines, found.after)


def keep(connection: Connection, chunk: Chunk) -> None:
    connection.execute(month_chunks.insert(), chunk)


def found_late(connection: Connection, here: Span, make: Maker) -> list[Line]:
    """Late lines of the month before, to be given to :func:`finish`."""
    months = closed(connection)
    before = months.get(here.month.previous)
    return [] if before is None else late(connection, before.span, here, make)


def finish(
    connection: Connection, here: Span, closer: Closer, make: Maker, latecomers: Sequence[Line], now: datetime
) -> ClosedMonth:
    """Write the end and declare the month closed. If it is closed already, that is what it stays."""
    month = str(here.month)
    journal.lock(connection)
    already = closed(connection).get(here.month)
    if already is not None:
        _forget(connection, month_chunks.c.closing_id == closer.closing_id)
        return already
    number, last = _position(connection, closer.closing_id)
    lines = [
        *latecomers,
        *adjustments(connection, here, make, first_open=True),
        *credit_lines(connection, here, make),
    ]
    keep(
        connection,
        pack(closer.closing_id, month, number, lines, last or Position(here.start, "")),
    )
    chunks = connection.execute(
        select(*(column for column in month_chunks.c if column.name != "body"))
        .where(month_chunks.c.closing_id == closer.closing_id)
        .order_by(month_chunks.c.number)
    ).all()
    if [chunk.number for chunk in chunks] != list(range(len(chunks))):
        raise GatewayError(f"Closing {month} was disturbed by another closing; start it again.")
    row = _row(here, closer, chunks, now)
    connection.execute(closed_months.insert(), row)
    _insert(
        connection,
        carried,
        [
            {"attempt_id": attempt_id, "month": month, "unknown": unknown}
            for chunk in chunks
            for attempt_id, unknown in json.loads(chunk.open)
        ],
    )
    adjusted = [line.attempt_id for line in lines if line.kind == ADJUSTMENT]
    _insert(connection, booked, [{"attempt_id": attempt_id, "month": month} for attempt_id in adjusted])
    _forget(
        connection,
        month_chunks.c.closing_id.not_in(select(closed_months.c.closing_id)),
    )
    facts = ("month", "closing_id", "lines", "attempts", "cost", "credits", "unknown", "digest")
    journal.enter(
        connection, closer.signing_key, now, closer.entered_by, "close", {name: row[name] for name in facts}
    )
    return closed(connection)[here.month]


def credit_lines(connection: Connection, here: Span, make: Maker) -> list[Line]:
    """The credits that were entered in the month."""
    moments = ("entered_at", "counts_at")
    columns = [
        type_coerce(column, BigInt).label(column.name) if column.name in moments else column
        for column in credits.c
    ]
    query = (
        select(*columns)
        .where(credits.c.entered_at >= here.start, credits.c.entered_at < here.end)
        .order_by(credits.c.entered_at, credits.c.credit_id)
    )
    rows = connection.execute(query).all()
    make.learn(connection, (row.key_id for row in rows))
    return [make.credit(row) for row in rows]


def _position(connection: Connection, closing_id: str) -> tuple[int, Position | None]:
    row = connection.execute(
        select(month_chunks.c.number, month_chunks.c.last_received_at, month_chunks.c.last_request_id)
        .where(month_chunks.c.closing_id == closing_id)
        .order_by(month_chunks.c.number.desc())
        .limit(1)
    ).first()
    if row is None:
        return 0, None
    return row.number + 1, Position(row.last_received_at, row.last_request_id)


def _row(here: Span, closer: Closer, chunks: Sequence[Row[Any]], now: datetime) -> dict[str, Any]:
    sums = ("lines", "attempts", "cost", "credits", "unknown", "unknown_lines")
    names = {
        name: json.dumps(sorted({used for chunk in chunks for used in json.loads(getattr(chunk, name))}))
        for name in ("labels", "tags")
    }
    return {
        "month": str(here.month),
        "closing_id": closer.closing_id,
        "starts_at": here.start,
        "ends_at": here.end,
        "timezone": closer.timezone,
        "organization": closer.organization,
        "closed_at": now,
        "closed_by": closer.entered_by,
        "format": FORMAT,
        "chunks": len(chunks),
        "digest": digest_over(chunk.digest for chunk in chunks),
        **{name: sum(getattr(chunk, name) for chunk in chunks) for name in sums},
        **names,
    }


def _insert(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), list(rows))


def _forget(connection: Connection, which: Any) -> None:
    connection.execute(delete(month_chunks).where(which))


def _closed(row: Row[Any]) -> ClosedMonth:
    return ClosedMonth(
        span=Span(Month.parse(row.month), row.starts_at, row.ends_at),
        closing_id=row.closing_id,
        timezone=row.timezone,
        organization=row.organization,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        chunks=row.chunks,
        lines=row.lines,
        attempts=row.attempts,
        cost=row.cost,
        credits=row.credits,
        unknown=row.unknown,
        unknown_lines=row.unknown_lines,
        labels=json.loads(row.labels),
        tags=json.loads(row.tags),
        digest=row.digest,
    )
