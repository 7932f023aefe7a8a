"""Whether a request fits what is written under ``when:``. Pure: the moment and all facts come in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from config.routing import DAYS, WhenSettings

TIERS = ("512", "1K", "2K", "4K", "8K")
_EDGES = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096, "8K": 8192}


@dataclass(frozen=True, slots=True)
class Question:
    """What routing knows of a request before it is fitted to any target.

    ``area`` is the number of pixels it asks for, None where it leaves that open. ``moment`` is aware.
    ``spent`` is the share used of the fullest dollar limit that it counts under, None where there is none.
    """

    model: str
    operation: str
    moment: datetime
    project: str = ""
    project_id: str = ""
    key: str = ""
    end_user: str | None = None
    quality: str | None = None
    area: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    spent: Decimal | None = None


def tier_of(area: int | None) -> str | None:
    """The largest tier of which a picture has at least 45 % of the pixels, else the smallest; so 3840x2160
    and 2880x2880 are 4K, 1920x1080 is 2K and 1536x1024 is 1K."""
    if area is None:
        return None
    held = [name for name in TIERS if area * 100 >= 45 * _EDGES[name] ** 2]
    return held[-1] if held else TIERS[0]


@dataclass(frozen=True, slots=True)
class Condition:
    """``WhenSettings`` in the organization's time zone."""

    settings: WhenSettings
    zone: ZoneInfo

    def fits(self, question: Question) -> bool:
        return next(self._unmet(question), None) is None

    def unmet(self, question: Question) -> tuple[str, ...]:
        """The names of the conditions that do not hold."""
        return tuple(self._unmet(question))

    def _unmet(self, question: Question) -> Iterator[str]:
        when = self.settings
        words = (
            ("project", when.project, {question.project, question.project_id}),
            ("key", when.key, {question.key, *(f"{p}/{question.key}" for p in _names(question))}),
            ("end_user", when.end_user, {question.end_user}),
            ("model", when.model, {question.model}),
            ("operation", when.operation, {question.operation}),
            ("quality", when.quality, {question.quality}),
            ("resolution", when.resolution, {tier_of(question.area)}),
        )
        for name, wanted, said in words:
            if wanted is not None and said.isdisjoint(wanted):
                yield name
        if any(question.tags.get(tag) not in values for tag, values in (when.tags or {}).items()):
            yield "tags"
        if (when.hours is not None or when.days is not None) and not self._is_time(question.moment):
            yield "hours" if when.hours is not None else "days"
        if when.spent is not None and (question.spent is None or question.spent < when.spent):
            yield "spent"

    def _is_time(self, moment: datetime) -> bool:
        local = moment.astimezone(self.zone)
        begins, ends = hours_of(self.settings.hours)
        minute = local.hour * 60 + local.minute
        day = local.date()
        if begins < ends:
            is_hour = begins <= minute < ends
        else:
            is_hour = minute >= begins or minute < ends
            if minute < ends:
                day -= timedelta(days=1)
        return is_hour and (self.settings.days is None or DAYS[day.weekday()] in self.settings.days)


def hours_of(text: str | None) -> tuple[int, int]:
    """Minutes of the day at which ``08:00-18:00`` begins and ends; the whole day for None."""
    if text is None:
        return 0, 24 * 60
    hours = [int(number) for number in re.findall(r"\d\d", text)]
    return hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]


def _names(question: Question) -> tuple[str, str]:
    return question.project, question.project_id
