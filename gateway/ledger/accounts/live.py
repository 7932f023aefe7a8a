"""Lines straight from the ledger's rows: of a month that is open, or that is being closed.

They are read in pages, in the order of admission, along the index on when requests were received.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, and_, not_, select

from gateway.ledger.accounts.lines import COLUMNS, Line, Maker
from gateway.ledger.accounts.months import Month, Span
from gateway.ledger.records import AttemptState
from gateway.ledger.tables import attempts, from_micros, requests

PAGE_REQUESTS = 2000


@dataclass(frozen=True, slots=True)
class Position:
    """After this request."""

    received_at: datetime
    request_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """``after`` None: there is nothing more."""

    lines: Sequence[Line]
    after: Position | None


def page(connection: Connection, span: Span, after: Position | None, make: Maker) -> Page:
    """The lines of the next requests of the span. One that was refused has no attempts and so no line."""
    received, request_id = requests.c.received_at, requests.c.request_id
    since = span.start if after is None else max(span.start, after.received_at)
    wanted = select(request_id).where(received >= since, received < span.end)
    if after is not None:
        wanted = wanted.where(not_(and_(received == after.received_at, request_id <= after.request_id)))
    some = wanted.order_by(received, request_id).limit(PAGE_REQUESTS).subquery("page")
    rows = connection.execute(
        select(*COLUMNS)
        .select_from(
            some.join(requests, requests.c.request_id == some.c.request_id).outerjoin(
                attempts, attempts.c.request_id == requests.c.request_id
            )
        )
        .order_by(received, request_id, attempts.c.ordinal)
    ).all()
    if not rows:
        return Page((), None)
    last = rows[-1]
    make.learn(connection, (row.key_id for row in rows))
    lines = [make.usage(row) for row in rows if row.attempt_id is not None]
    return Page(lines, Position(from_micros(last.received_at), last.request_id))


def is_open(line: Line) -> bool:
    return line.state in (AttemptState.DISPATCHED, AttemptState.UNKNOWN)


def names(connection: Connection, span: Span) -> tuple[set[str], set[str]]:
    """The names of the labels and tags in a span; read day by day, since values can be many."""
    labels: set[str] = set()
    tags: set[str] = set()
    start = span.start
    while start < span.end:
        end = min(start + timedelta(days=1), span.end)
        for column, found in ((requests.c.labels, labels), (requests.c.tags, tags)):
            some = and_(requests.c.received_at >= start, requests.c.received_at < end, column.is_not(None))
            for text in connection.scalars(select(column).distinct().where(some)):
                found.update(msgspec.json.decode(text, type=dict[str, object]))
        start = end
    return labels, tags


def first_month(connection: Connection, zone: ZoneInfo) -> Month | None:
    """That of the oldest request; None while there is none."""
    oldest = connection.scalar(select(requests.c.received_at).order_by(requests.c.received_at).limit(1))
    return None if oldest is None else Month.of(oldest.astimezone(UTC), zone)
