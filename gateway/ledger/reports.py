"""What was used and what it cost, grouped: the sums are over the rows themselves, in one query.

A request belongs to the day on which it was received, in the organisation's zone; its cost is the sum over
its attempts, so a request that failed over counts once and costs what both attempts cost.

An attempt's cost is *not known* while it runs, when it ended ``unknown``, and when it was settled without a
price. Such attempts are counted (``unknown_cost``), never taken as 0: a group none of whose costs is known
has ``cost`` None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Text, and_, case, column, func, select, values

from gateway.errors import InvalidRequest
from gateway.ledger.records import AttemptState, NanoDollars
from gateway.ledger.tables import BigInt, attempts, requests, to_micros

MOST_DAYS = 3700
"""Days in one report by day; each is one row of the query's own calendar."""


class Dimension(StrEnum):
    DAY = "day"
    KEY = "key"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums of one group; ``day``, ``key_id`` and ``model`` are None where the report is not grouped by
    them."""

    day: date | None
    key_id: str | None
    model: str | None
    requests: int
    images: int
    input_tokens: int
    output_tokens: int
    cost: NanoDollars | None
    """What is known to have been spent; None when nothing is known and something is not."""
    unknown_cost: int
    """Attempts whose cost is not known (yet)."""
    failed: int
    """Requests that were answered with an error."""


@dataclass(frozen=True, slots=True)
class UsageReport:
    since: datetime
    until: datetime
    timezone: str
    by: tuple[Dimension, ...]
    rows: tuple[UsageRow, ...]
    total: UsageRow


def usage(
    connection: Connection,
    *,
    since: datetime | None,
    until: datetime,
    by: Sequence[Dimension],
    timezone: str,
) -> UsageReport:
    """The report over requests received in [since, until), ordered by day, key, model.

    ``since`` None starts at the first request. Raises :class:`InvalidRequest` for more than ``MOST_DAYS``
    days.
    """
    if since is None:
        since = connection.scalar(select(func.min(requests.c.received_at))) or until
    dimensions = tuple(dimension for dimension in Dimension if dimension in by)
    query = _query(since, until, dimensions, ZoneInfo(timezone))
    rows = tuple(_row(found) for found in connection.execute(query)) if since < until else ()
    return UsageReport(since, until, timezone, dimensions, rows, total(rows))


def total(rows: Sequence[UsageRow]) -> UsageRow:
    known = [row.cost for row in rows if row.cost is not None]
    return UsageRow(
        day=None,
        key_id=None,
        model=None,
        requests=sum(row.requests for row in rows),
        images=sum(row.images for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost=NanoDollars(sum(known)) if known or not rows else None,
        unknown_cost=sum(row.unknown_cost for row in rows),
        failed=sum(row.failed for row in rows),
    )


def _query(since: datetime, until: datetime, by: Sequence[Dimension], zone: ZoneInfo) -> Any:
    settled = attempts.c.state == AttemptState.SETTLED
    not_known = and_(
        attempts.c.attempt_id.is_not(None),
        attempts.c.state != AttemptState.RELEASED,
        ~and_(settled, attempts.c.cost.is_not(None)),
    )
    each = (
        select(
            requests.c.received_at,
            requests.c.key_id,
            requests.c.model,
            func.coalesce(requests.c.images, 0).label("images"),
            _one_if(requests.c.status >= 400).label("failed"),
            func.coalesce(func.sum(attempts.c.input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(attempts.c.output_tokens), 0).label("output_tokens"),
            func.sum(case((settled, attempts.c.cost))).label("cost"),
            func.sum(_one_if(not_known)).label("unknown_cost"),
        )
        .select_from(requests.outerjoin(attempts, attempts.c.request_id == requests.c.request_id))
        .where(requests.c.received_at >= since, requests.c.received_at < until)
        .group_by(requests.c.request_id)
        .subquery("each_request")
    )
    source: Any = each
    keys: list[ColumnElement[Any]] = []
    if Dimension.DAY in by:
        calendar = _calendar(since, until, zone)
        source = each.join(
            calendar,
            and_(each.c.received_at >= calendar.c.starts, each.c.received_at < calendar.c.ends),
        )
        keys.append(calendar.c.day.label("day"))
    if Dimension.KEY in by:
        keys.append(each.c.key_id)
    if Dimension.MODEL in by:
        keys.append(each.c.model)
    sums = [func.sum(each.c[name]).label(name) for name in _SUMS]
    query = select(*keys, func.count().label("requests"), *sums).select_from(source)
    return query.group_by(*keys).order_by(*keys) if keys else query.having(func.count() > 0)


_SUMS = ("images", "input_tokens", "output_tokens", "cost", "unknown_cost", "failed")


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _calendar(since: datetime, until: datetime, zone: ZoneInfo) -> Any:
    """The zone's days as rows (day, starts, ends), 23 or 25 hours long where the clocks change.

    A database's own notion of zones is not used: SQLite has none, and PostgreSQL's may be of another year.
    """
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    if (last - first).days > MOST_DAYS:
        raise InvalidRequest(
            f"A report by day covers at most {MOST_DAYS} days; narrow 'since' and 'until'.", param="since"
        )
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    rows = [(day.isoformat(), _midnight(day, zone), _midnight(day + timedelta(days=1), zone)) for day in days]
    return (
        values(column("day", Text), column("starts", BigInt), column("ends", BigInt))
        .data(rows)
        .cte("calendar")
    )


def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))


def _row(found: Row[Any]) -> UsageRow:
    group = found._mapping
    cost, unknown = group["cost"], int(group["unknown_cost"])
    return UsageRow(
        day=date.fromisoformat(group["day"]) if "day" in group else None,
        key_id=group.get("key_id"),
        model=group.get("model"),
        requests=int(group["requests"]),
        images=int(group["images"]),
        input_tokens=int(group["input_tokens"]),
        output_tokens=int(group["output_tokens"]),
        cost=None if cost is None and unknown else NanoDollars(int(cost or 0)),
        unknown_cost=unknown,
        failed=int(group["failed"]),
    )
