"""What was used and what it cost, grouped. The sums come from the rollup and, where that is not made yet,
from the rows themselves: either way they are those of the rows (``rollups.py``).

A request belongs to the day on which it was received, in the organisation's zone; its cost is the sum over
its attempts, so a request that failed over counts once and costs what both attempts cost.

An attempt's cost is *not known* while it runs, when it ended ``unknown``, and when it was settled without a
price. Such attempts are counted (``unknown_cost``), never taken as 0: a group none of whose costs is known
has ``cost`` None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
)

from gateway.errors import InvalidRequest
from gateway.ledger.records import AttemptState, NanoDollars
from gateway.ledger.rollups import Rollup, read
from gateway.ledger.tables import BigInt, attempts, requests, to_micros, usage_rollup

DAY_MICROS = 86_400_000_000

MOST_DAYS = 3700
"""Days in one report by day."""


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
    columns = [_COLUMNS[dimension] for dimension in dimensions if dimension in _COLUMNS]
    groups: dict[tuple[Any, ...], list[int | None]] = {}
    for run in _runs(since, until, dimensions, ZoneInfo(timezone)):
        found = read(connection, ROLLUP, run.lo, run.hi, start=run.start, length=run.length, by=columns)
        for row in found:
            day = None if run.day is None else run.day + timedelta(days=row.position)
            group = (day, *row[1 : 1 + len(columns)])
            sums = groups.setdefault(group, [None] * len(_SUMS))
            for at, amount in enumerate(row[1 + len(columns) :]):
                if amount is not None:
                    sums[at] = amount + (sums[at] or 0)
    rows = tuple(_row(group, columns, groups[group]) for group in sorted(groups, key=_order))
    return UsageReport(since, until, timezone, dimensions, rows, total(rows))


def _order(group: tuple[Any, ...]) -> tuple[Any, ...]:
    return (group[0] or date.min, *group[1:])


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


@dataclass(frozen=True, slots=True)
class _Run:
    """[lo, hi) in microseconds, in which a day is ``length`` long and ``day`` begins at ``start``."""

    lo: int
    hi: int
    day: date | None
    start: int
    length: int


def _runs(since: datetime, until: datetime, by: Sequence[Dimension], zone: ZoneInfo) -> Iterable[_Run]:
    """The span cut where days change their length: 23 or 25 hours where the clocks change.

    A database's own notion of zones is not used: SQLite has none, and PostgreSQL's may be of another year.
    """
    lo, hi = to_micros(since), to_micros(until)
    if Dimension.DAY not in by:
        return [_Run(lo, hi, None, lo // ROLLUP.slot_micros * ROLLUP.slot_micros, 2**62)]
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    if (last - first).days > MOST_DAYS:
        raise InvalidRequest(
            f"A report by day covers at most {MOST_DAYS} days; narrow 'since' and 'until'.", param="since"
        )
    runs: list[_Run] = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        if runs and end - start == runs[-1].length == DAY_MICROS:
            runs[-1] = _Run(runs[-1].lo, min(end, hi), runs[-1].day, runs[-1].start, DAY_MICROS)
        else:
            runs.append(_Run(max(start, lo), min(end, hi), day, start, end - start))
    return [run for run in runs if run.lo < run.hi]


def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))


def _row(group: tuple[Any, ...], columns: Sequence[str], sums: Sequence[int | None]) -> UsageRow:
    named = dict(zip(columns, group[1:], strict=True))
    known = dict(zip(_SUMS, sums, strict=True))
    cost, unknown = known["cost"], known["unknown_cost"] or 0
    return UsageRow(
        day=group[0],
        key_id=named.get("key_id"),
        model=named.get("model"),
        requests=known["requests"] or 0,
        images=known["images"] or 0,
        input_tokens=known["input_tokens"] or 0,
        output_tokens=known["output_tokens"] or 0,
        cost=None if cost is None and unknown else NanoDollars(cost or 0),
        unknown_cost=unknown,
        failed=known["failed"] or 0,
    )


_COLUMNS = {Dimension.KEY: "key_id", Dimension.MODEL: "model"}
_SUMS = ("requests", "images", "failed", "input_tokens", "output_tokens", "cost", "unknown_cost")


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _rows(lo: int, hi: int) -> FromClause:
    """Requests and attempts below each other, each with what it adds. They need no join: an attempt repeats
    its request's facts."""
    settled = attempts.c.state == AttemptState.SETTLED
    not_known = and_(attempts.c.state != AttemptState.RELEASED, ~and_(settled, attempts.c.cost.is_not(None)))
    of_requests = {
        "requests": literal(1, BigInt),
        "images": func.coalesce(requests.c.images, 0),
        "failed": _one_if(requests.c.status >= 400),
    }
    of_attempts = {
        "input_tokens": func.coalesce(attempts.c.input_tokens, 0),
        "output_tokens": func.coalesce(attempts.c.output_tokens, 0),
        "cost": case((settled, attempts.c.cost)),
        "unknown_cost": _one_if(not_known),
    }
    parts = ((requests, of_requests), (attempts, of_attempts))
    return union_all(*(_adding(table, sums, lo, hi) for table, sums in parts)).subquery("adding")


def _adding(table: Table, sums: Mapping[str, ColumnElement[Any]], lo: int, hi: int) -> Select[Any]:
    moment = type_coerce(table.c.received_at, BigInt)
    nothing: dict[str, ColumnElement[Any]] = {name: literal(0, BigInt) for name in _SUMS}
    nothing["cost"] = cast(null(), BigInt)
    return select(
        moment.label("moment"),
        *(table.c[name] for name in ("project_id", "key_id", "model")),
        *(sums.get(name, nothing[name]).label(name) for name in _SUMS),
    ).where(moment >= literal(lo, BigInt), moment < literal(hi, BigInt))


ROLLUP = Rollup(
    name="usage",
    table=usage_rollup,
    # Days begin at whole quarters of an hour in every zone of today.
    slot_micros=15 * 60 * 1_000_000,
    dimensions=("project_id", "key_id", "model"),
    sums=_SUMS,
    rows=_rows,
)


def slots(moments: Iterable[datetime]) -> set[tuple[Rollup, int]]:
    """The slots that these moments of reception lie in."""
    return {(ROLLUP, to_micros(moment) // ROLLUP.slot_micros) for moment in moments}
