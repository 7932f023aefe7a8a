"""Windows of time, as pure functions: calendar periods in an organisation's zone, and rolling buckets.

A window is half open, [start, end), in UTC. A new window is a new id and so a new counter: nothing is
ever set back. Days follow the zone, so one may have 23 or 25 hours; weeks start on Monday.

A zone change takes effect with the next window: the running one keeps its end, or, where less than half a
period of the new calendar would then be left, runs on to the end of that. So a change never hands out a fresh
budget, and one change makes no window longer than one and a half periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Period = Literal["minute", "hour", "day", "week", "month", "quarter", "year", "total"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

BUCKETS = 60
"""A rolling window counts this many buckets and the running one: the whole oldest bucket counts, so it may
hold on to an amount for up to one bucket longer than promised, and never forgets one early."""

ROLLING_MS: dict[str, int] = {
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
    "month": 30 * 86_400_000,
    "quarter": 90 * 86_400_000,
    "year": 365 * 86_400_000,
}
"""Lengths of rolling windows. ``total`` cannot roll."""


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down. Raises ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return (moment - EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


@dataclass(frozen=True, slots=True)
class Window:
    """``id`` names the counter of this window, e.g. ``month:2026-11@Europe/Vienna``; no end for ``total``."""

    id: str
    start: datetime
    end: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class ZoneSince:
    """One entry of an organisation's zone history. ``since`` None: from the beginning."""

    zone: str
    since: datetime | None = None


class Calendar:
    """Which calendar window an instant lies in, under a zone and the zones before it.

    ``history`` is ordered by time and its first entry has no ``since``; a plain name means it never changed.
    """

    def __init__(self, history: str | Sequence[ZoneSince] = "UTC") -> None:
        entries = (ZoneSince(history),) if isinstance(history, str) else tuple(history)
        if not entries or entries[0].since is not None:
            raise ValueError("a zone history starts with an entry that has no 'since'")
        since = [entry.since for entry in entries[1:] if entry.since is not None]
        if len(since) != len(entries) - 1 or since != sorted(since):
            raise ValueError("a zone history is ordered by 'since'")
        self.history = entries
        self._changes = tuple(since)
        self._zones = tuple(ZoneInfo(entry.zone) for entry in entries)
        self._latest: dict[Period, Window] = {}

    def changed(self, zone: str, at: datetime) -> Calendar:
        """This calendar with another zone from the next window after ``at`` on."""
        if zone == self.history[-1].zone:
            return self
        since = max([at, *self._changes[-1:]])  # a clock that was set back does not reorder history
        return Calendar([*self.history, ZoneSince(zone, since)])

    def window(self, per: Period, at: datetime) -> Window:
        """The window of ``per`` that holds ``at`` (aware)."""
        known = self._latest.get(per)
        if known is not None and known.holds(at):
            return known
        found = self._window(per, at, len(self._changes))
        self._latest[per] = found
        return found

    def _window(self, per: Period, at: datetime, changes: int) -> Window:
        if per == "total":
            return Window("total", EPOCH, None)
        if changes == 0 or at < self._changes[changes - 1]:
            return _plain(per, at, self._zones[0]) if changes == 0 else self._window(per, at, changes - 1)
        running = self._window(per, self._changes[changes - 1], changes - 1)
        zone = self._zones[changes]
        turn = _end(running)
        following = _plain(per, turn, zone)
        if (_end(following) - turn) * 2 < _end(following) - following.start:
            turn = _end(following)
        if at < turn:
            return Window(running.id, running.start, turn)
        window = _plain(per, at, zone)
        return Window(window.id, max(window.start, turn), window.end)


def rolling_bucket(per: Period, at: datetime) -> Window:
    """The bucket of a rolling window that ``at`` lies in; its id is the bucket's number since 1970."""
    length = ROLLING_MS[per] // BUCKETS
    number = to_ms(at) // length
    return Window(str(number), from_ms(number * length), from_ms((number + 1) * length))


def _end(window: Window) -> datetime:
    return window.end if window.end is not None else datetime.max.replace(tzinfo=UTC)


def _plain(per: Period, at: datetime, zone: ZoneInfo) -> Window:
    """The window in one zone that never changed."""
    local = at.astimezone(zone)
    if per == "minute" or per == "hour":
        return _clock_window(per, at, zone)
    first, after = _days(per, local.date())
    return Window(f"{per}:{_label(per, first)}@{zone.key}", _midnight(first, zone), _midnight(after, zone))


def _label(per: Period, first: date) -> str:
    match per:
        case "month":
            return f"{first:%Y-%m}"
        case "quarter":
            return f"{first:%Y}-Q{(first.month + 2) // 3}"
        case "year":
            return f"{first:%Y}"
        case _:
            return first.isoformat()


def _clock_window(per: Literal["minute", "hour"], at: datetime, zone: ZoneInfo) -> Window:
    """Hours and minutes by the wall clock. Where the clock is set by part of an hour (Lord Howe: 30 minutes),
    the hour is cut at that instant, so that windows never overlap."""
    start = _wall_start(per, at, zone)
    length = _HOUR if per == "hour" else _MINUTE
    end = start + length
    if _phase(start, zone) != _phase(at, zone):
        start = _phase_change(start, at, zone)
    elif _phase(end - _MILLISECOND, zone) != _phase(at, zone):
        end = _phase_change(at, end, zone)
    local = start.astimezone(zone)
    form = "%Y-%m-%dT%H%z" if per == "hour" else "%Y-%m-%dT%H:%M%z"
    return Window(f"{per}:{local.strftime(form)}@{zone.key}", start, end)


def _wall_start(per: str, at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    into = timedelta(seconds=local.second, microseconds=local.microsecond)
    if per == "hour":
        into += timedelta(minutes=local.minute)
    return at.astimezone(UTC) - into


def _phase(at: datetime, zone: ZoneInfo) -> timedelta:
    """How far the zone's wall clock is from whole UTC hours."""
    return (at.astimezone(zone).utcoffset() or timedelta()) % _HOUR


def _phase_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant between the two at which the phase becomes that of ``after``, to the second."""
    phase = _phase(before, zone)
    low, high = to_ms(before) // 1000, -(-to_ms(after) // 1000)
    while high - low > 1:
        middle = (low + high) // 2
        if _phase(from_ms(middle * 1000), zone) == phase:
            low = middle
        else:
            high = middle
    return from_ms(high * 1000)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _days(per: Period, day: date) -> tuple[date, date]:
    if per == "day":
        return day, day + _DAY
    if per == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    months = {"month": 1, "quarter": 3, "year": 12}[per]
    month = (day.month - 1) // months * months
    following = month + months
    return date(day.year, month + 1, 1), date(day.year + following // 12, following % 12 + 1, 1)
