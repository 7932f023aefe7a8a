"""Months of the accounts: names, and where they begin and end. Pure.

A month is that of the organisation's zone. Once a month is closed its end is fixed, and the next one begins
there, so a change of the zone leaves no gap and counts nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.errors import InvalidRequest

_NAME = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")

SETTLING = timedelta(hours=1)
"""A month can be closed this long after its end: calls that were admitted in it have ended by then, but for
those that fell silent."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """``2026-11``. Raises :class:`InvalidRequest`."""
        found = _NAME.fullmatch(text)
        if found is None or not 1970 <= int(found[1]) < 9000:
            raise InvalidRequest("'month' must be a month such as 2026-11.", param="month")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, moment: datetime, zone: ZoneInfo) -> Month:
        local = moment.astimezone(zone)
        return cls(local.year, local.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def next(self) -> Month:
        return self.after(1)

    @property
    def previous(self) -> Month:
        return self.after(-1)

    def after(self, months: int) -> Month:
        years, index = divmod(self.number - 1 + months, 12)
        return Month(self.year + years, index + 1)

    def begins(self, zone: ZoneInfo) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A month's [start, end)."""

    month: Month
    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def span(month: Month, zone: ZoneInfo, closed: Mapping[Month, Span]) -> Span:
    """Where ``month`` lies, next to the months that are closed."""
    if month in closed:
        return closed[month]
    before, after = closed.get(month.previous), closed.get(month.next)
    start = month.begins(zone) if before is None else before.end
    end = month.next.begins(zone) if after is None else after.start
    return Span(month, start, max(start, end))
