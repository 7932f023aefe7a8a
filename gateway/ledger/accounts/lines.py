"""The lines of the accounts: one for each upstream attempt, with everything that a report may ask of it.

A line is a flat value that is kept as a JSON list, so fields are only ever added at its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select, type_coerce

from gateway.ledger.records import AttemptState
from gateway.ledger.rollups import chunks
from gateway.ledger.tables import BigInt, api_keys, attempts, from_micros, requests, to_micros

FORMAT = 1
"""Of closed months' lines. A change of what is written for the same lines needs another number, and the old
way of writing kept beside it."""

USAGE = "usage"
ADJUSTMENT = "adjustment"
"""An attempt of a closed month that ended, or was found out about, afterwards."""
LATE = "late"
"""An attempt of a closed month that reached the ledger afterwards."""
CREDIT = "credit"


class Line(NamedTuple):
    """Money in nano-dollars, moments in microseconds since 1970 UTC. ``cost`` None: not known, and then
    ``unknown`` is what it was expected to cost, None where that is not known either."""

    kind: str
    line_id: str
    attempt_id: str
    """What the line is about; empty for a credit."""
    day: str
    """The day it is charged to, in the organisation's zone."""
    received_at: int
    made_at: int
    """When it came to be known: for adjustments and credits, what decides their month."""
    project_id: str
    project: str
    key_id: str
    key: str
    external_key_id: str
    labels: Mapping[str, str]
    tags: Mapping[str, str]
    model: str
    provider: str
    upstream_model: str
    operation: str
    size: str
    quality: str
    state: str
    images: int | None
    input_tokens: int | None
    input_text_tokens: int | None
    input_image_tokens: int | None
    cached_text_tokens: int | None
    cached_image_tokens: int | None
    output_tokens: int | None
    output_text_tokens: int | None
    output_image_tokens: int | None
    total_tokens: int | None
    cost: int | None
    unknown: int | None
    price_version: str
    flags: str
    note: str


TOKENS = tuple(name for name in Line._fields if name.endswith("_tokens"))


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called; ``keys`` are those that the config file declares."""

    projects: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Sums of lines. ``cost`` leaves credits out, ``credits`` is theirs alone (negative: given)."""

    lines: int = 0
    attempts: int = 0
    cost: int = 0
    credits: int = 0
    unknown: int = 0
    unknown_lines: int = 0

    def add(self, lines: Iterable[Line]) -> Totals:
        for line in lines:
            self.lines += 1
            if line.kind == CREDIT:
                self.credits += line.cost or 0
                continue
            self.attempts += line.kind == USAGE
            self.cost += line.cost or 0
            self.unknown += line.unknown or 0
            self.unknown_lines += line.cost is None
        return self


def names_used(lines: Iterable[Line]) -> tuple[set[str], set[str]]:
    """The names of labels and of tags."""
    labels: set[str] = set()
    tags: set[str] = set()
    for line in lines:
        labels.update(line.labels)
        tags.update(line.tags)
    return labels, tags


COLUMNS: Sequence[Any] = (
    type_coerce(requests.c.received_at, BigInt).label("received_at"),
    requests.c.request_id,
    requests.c.project_id,
    requests.c.key_id,
    requests.c.external_key_id,
    requests.c.labels,
    requests.c.tags,
    requests.c.model,
    requests.c.operation,
    requests.c.size,
    requests.c.quality,
    attempts.c.attempt_id,
    attempts.c.provider,
    attempts.c.upstream_model,
    attempts.c.state,
    type_coerce(attempts.c.ended_at, BigInt).label("ended_at"),
    attempts.c.images,
    *(attempts.c[name] for name in TOKENS),
    attempts.c.cost,
    func.coalesce(attempts.c.expected, attempts.c.hold_amount).label("likely"),
    attempts.c.price_version,
    attempts.c.flags,
)
"""What :meth:`Maker.usage` reads of a row."""


class Maker:
    """From rows to lines."""

    def __init__(self, names: Names, zone: ZoneInfo) -> None:
        self._projects = names.projects
        self._keys = dict(names.keys)
        self._zone = zone
        self._days: dict[int, str] = {}

    def learn(self, connection: Connection, key_ids: Iterable[str | None]) -> None:
        """Look up the names of keys before lines are made of them."""
        unheard = sorted({key_id for key_id in key_ids if key_id and key_id not in self._keys})
        for part in chunks(unheard):
            query = select(api_keys.c.key_id, api_keys.c.name).where(api_keys.c.key_id.in_(part))
            self._keys.update({row.key_id: row.name for row in connection.execute(query)})

    def usage(self, row: Row[Any]) -> Line:
        known = _cost(row)
        return Line(
            USAGE,
            row.attempt_id,
            row.attempt_id,
            self.day(row.received_at),
            row.received_at,
            row.received_at,
            row.project_id,
            self._projects.get(row.project_id, ""),
            row.key_id,
            self._keys.get(row.key_id, ""),
            row.external_key_id or "",
            _object(row.labels),
            _object(row.tags),
            row.model,
            row.provider,
            row.upstream_model,
            row.operation,
            row.size or "",
            row.quality or "",
            row.state,
            row.images,
            row.input_tokens,
            row.input_text_tokens,
            row.input_image_tokens,
            row.cached_text_tokens,
            row.cached_image_tokens,
            row.output_tokens,
            row.output_text_tokens,
            row.output_image_tokens,
            row.total_tokens,
            known,
            row.likely if known is None else 0,
            row.price_version or "",
            row.flags or "",
            "",
        )

    def adjustment(self, row: Row[Any], start: datetime) -> Line:
        """Of an attempt that its own month (``row.carried_month``) listed with ``row.carried_unknown``; what
        became known before the month that books it is dated at that month's start."""
        line = self.usage(row)
        at = max(row.ended_at, to_micros(start))
        return line._replace(
            kind=ADJUSTMENT,
            line_id=f"{row.attempt_id}#{ADJUSTMENT}",
            day=self.day(at),
            made_at=row.ended_at,
            unknown=(line.unknown or 0) - (row.carried_unknown or 0),
            note=f"not known when {row.carried_month} was closed",
        )

    def late(self, row: Row[Any], month: str, start: datetime) -> Line:
        line = self.usage(row)
        return line._replace(
            kind=LATE,
            line_id=f"{row.attempt_id}#{LATE}",
            day=self.day(max(row.received_at, to_micros(start))),
            note=f"reached the ledger after {month} was closed",
        )

    def credit(self, row: Row[Any]) -> Line:
        """``row`` is one of ``credits``, its moments in microseconds."""
        void = f", takes back {row.voids}" if row.voids else ""
        fields: dict[str, Any] = dict.fromkeys(Line._fields, "")
        fields |= dict.fromkeys(("images", *TOKENS))
        fields |= {
            "kind": CREDIT,
            "line_id": row.credit_id,
            "day": self.day(row.entered_at),
            "received_at": row.entered_at,
            "made_at": row.entered_at,
            "project_id": row.project_id or "",
            "project": self._projects.get(row.project_id or "", ""),
            "key_id": row.key_id or "",
            "key": self._keys.get(row.key_id or "", ""),
            "labels": {},
            "tags": {},
            "model": row.model or "",
            "cost": -row.amount,
            "unknown": 0,
            "note": f"{row.reason} ({row.scope}, by {row.entered_by}{void})",
        }
        return Line(**fields)

    def day(self, micros: int) -> str:
        slot = micros // _QUARTER
        known = self._days.get(slot)
        if known is None:
            known = self._days[slot] = from_micros(micros).astimezone(self._zone).date().isoformat()
        return known


_QUARTER = 15 * 60 * 1_000_000
"""Days begin at whole quarters of an hour in every zone of today."""


def _cost(row: Row[Any]) -> int | None:
    if row.state == AttemptState.SETTLED:
        return None if row.cost is None else int(row.cost)
    return 0 if row.state == AttemptState.RELEASED else None


def _object(text: str | None) -> Mapping[str, str]:
    return _parsed(text) if text else {}


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Mapping[str, str]:
    found = json.loads(text)
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
