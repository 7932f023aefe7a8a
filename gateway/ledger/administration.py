"""What an operator may ask of a ledger: one table of operations, JSON in and JSON out.

A running server offers them on its control address (gateway/api/control.py), and a command that finds no
server performs them itself (gateway/cli/control.py): either way the same words, checks and answers.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from config.own_catalog import catalog_of
from config.schema import Settings
from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.accounts.operations import AccountOperations
from gateway.ledger.backup import Copied
from gateway.ledger.keys import KeyRecord
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import NANO
from gateway.ledger.reports import Dimension, UsageRow
from gateway.version import VERSION

Json = dict[str, Any]

DEFAULT_PROJECT = "default"
DEFAULT_DAYS = 30
BACKUP_STEP_SECONDS = 5.0
"""How long one step waits for the end of a backup."""


def _as_given(model: str) -> str:
    return model


async def _nobody_counts() -> None:
    """Without a server there are no counters; the next one builds its own from the ledger."""


class Administration:
    """``pepper`` is asked only when a key is made, so that reading needs no secret. ``model_of`` gives the
    one name under which a model is counted. ``on_credit`` is called when a credit was entered or taken back,
    and must not raise."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        pepper: Callable[[], bytes],
        *,
        model_of: Callable[[str], str] = _as_given,
        on_credit: Callable[[], Awaitable[None]] = _nobody_counts,
    ) -> None:
        self._ledger = ledger
        self._organization = settings.organization
        self._pepper = pepper
        self._operations: dict[str, Callable[[Mapping[str, object]], Awaitable[Json]]] = {
            "keys/create": self._create_key,
            "keys/list": self._list_keys,
            "keys/revoke": self._revoke_key,
            "usage": self._usage,
            "status": self._status,
            "backup": self._back_up,
            **AccountOperations(
                ledger.accounts, settings.organization, catalog_of(settings), pepper, model_of, on_credit
            ).table,
        }

    async def perform(self, operation: str, body: Mapping[str, object]) -> Json:
        """Raises a :class:`gateway.errors.GatewayError`: NotFound, InvalidRequest or Unavailable."""
        try:
            work = self._operations[operation]
        except KeyError:
            known = ", ".join(self._operations)
            raise NotFound(f"There is no operation '{operation}'; there are {known}.") from None
        return await work(body)

    async def _create_key(self, body: Mapping[str, object]) -> Json:
        """name, project (name or id), expires_at (ISO 8601), models → the record and, this once, ``key``."""
        expires = _text(body, "expires_at")
        record, key = await self._ledger.keys.create(
            name=_text(body, "name") or "",
            project_id=self._project(_text(body, "project")),
            pepper=self._pepper(),
            expires_at=None if expires is None else _moment("expires_at", expires, UTC),
            models=_texts(body, "models"),
        )
        return {**key_json(record), "key": key}

    async def _list_keys(self, body: Mapping[str, object]) -> Json:
        return {"keys": [key_json(record) for record in await self._ledger.keys.list()]}

    async def _revoke_key(self, body: Mapping[str, object]) -> Json:
        key_id = _text(body, "id") or ""
        record = await self._ledger.keys.revoke(key_id)
        if record is None:
            raise NotFound(
                f"There is no key '{key_id}' here; 'imagegate keys list' shows the ids. Keys that the config "
                "file declares are removed there.",
                param="id",
            )
        return key_json(record)

    async def _usage(self, body: Mapping[str, object]) -> Json:
        """days, since, until, by → sums of the days asked for, in the organisation's zone."""
        zone = ZoneInfo(self._organization.timezone)
        by = _dimensions(_texts(body, "by"))
        since, until = _range(body, datetime.now(UTC).astimezone(zone), zone)
        report = await self._ledger.usage(
            since=since, until=until, by=by, timezone=self._organization.timezone
        )
        names = {record.id: record.name for record in await self._ledger.keys.list()}
        return {
            "since": report.since.astimezone(zone).isoformat(),
            "until": report.until.astimezone(zone).isoformat(),
            "timezone": report.timezone,
            "by": [str(dimension) for dimension in report.by],
            "rows": [_usage_json(row, names) for row in report.rows],
            "total": _usage_json(report.total, names),
        }

    async def _back_up(self, body: Mapping[str, object]) -> Json:
        """target (an absolute path), then ``backup`` as the step before answered it → ``done``, None while
        there is more to do."""
        backups = self._ledger.backups
        backup_id = _text(body, "backup")
        if backup_id is None:
            target = Path(_text(body, "target") or "")
            if not target.is_absolute():
                raise InvalidRequest("'target' must be an absolute path.", param="target")
            backup_id = backups.begin(target)
        made = await backups.wait(backup_id, BACKUP_STEP_SECONDS)
        return {"backup": backup_id, "done": None if made is None else copied_json(made)}

    async def _status(self, body: Mapping[str, object]) -> Json:
        return {
            "pid": os.getpid(),
            "version": VERSION,
            "instance_id": self._ledger.instance_id,
            "ledger_ready": await self._ledger.ready(),
        }

    def _project(self, given: str | None) -> str:
        """The id a key's costs belong to. A name that is not declared would escape its project's limits, so
        it is refused as soon as any project is declared."""
        projects = {project.name: project.project_id for project in self._organization.projects}
        if given is None:
            if len(projects) > 1:
                raise InvalidRequest(f"Say which project: {', '.join(projects)}.", param="project")
            return next(iter(projects.values()), DEFAULT_PROJECT)
        if not projects or given in projects.values():
            return given
        if given in projects:
            return projects[given]
        raise InvalidRequest(
            f"There is no project '{given}'; the config declares {', '.join(projects)}.", param="project"
        )


def copied_json(made: Copied) -> Json:
    return {
        "path": str(made.path),
        "bytes": made.size,
        "schema": made.schema,
        "newest_call": _iso(made.newest),
        "keys": made.keys,
    }


def key_json(record: KeyRecord) -> Json:
    return {
        "id": record.id,
        "name": record.name,
        "project_id": record.project_id,
        "redacted": record.redacted,
        "models": record.models,
        "created_at": _iso(record.created_at),
        "expires_at": _iso(record.expires_at),
        "revoked_at": _iso(record.revoked_at),
        "last_used_at": _iso(record.last_used_at),
    }


def dollars(cost: int | None) -> str | None:
    """Exact dollars, with two to nine decimals: ``0.21072``, ``3.00``."""
    if cost is None:
        return None
    cents, rest = f"{cost % NANO:09d}"[:2], f"{cost % NANO:09d}"[2:].rstrip("0")
    return f"{cost // NANO}.{cents}{rest}"


def _usage_json(row: UsageRow, names: Mapping[str, str]) -> Json:
    return {
        "day": None if row.day is None else row.day.isoformat(),
        "key_id": row.key_id,
        "key_name": names.get(row.key_id or ""),
        "model": row.model,
        "requests": row.requests,
        "images": row.images,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": dollars(row.cost),
        "cost_nano_usd": row.cost,
        "unknown_cost": row.unknown_cost,
        "failed": row.failed,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _text(body: Mapping[str, object], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string.", param=name)
    return value


def _texts(body: Mapping[str, object], name: str) -> list[str] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"'{name}' must be a list of strings.", param=name)
    return list(value)


def _dimensions(given: Sequence[str] | None) -> list[Dimension]:
    try:
        return list(Dimension) if given is None else [Dimension(name) for name in given]
    except ValueError:
        raise InvalidRequest(f"'by' can name {', '.join(Dimension)}.", param="by") from None


def _range(body: Mapping[str, object], now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[since, until) of a report. A bare day begins at its midnight as ``since`` and is whole as
    ``until``."""
    since, until, days = _text(body, "since"), _text(body, "until"), body.get("days")
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1):
        raise InvalidRequest("'days' must be a whole number from 1.", param="days")
    if days is not None and since is not None:
        raise InvalidRequest("Give 'days' or 'since', not both.", param="days")
    end = now if until is None else _moment("until", until, zone, whole_day=True)
    if since is not None:
        start = _moment("since", since, zone)
    else:
        last = (end - timedelta(microseconds=1)).astimezone(zone).date()
        try:
            start = _midnight(last - timedelta(days=(days or DEFAULT_DAYS) - 1), zone)
        except OverflowError:
            raise InvalidRequest("'days' reaches back before the calendar.", param="days") from None
    if start >= end:
        raise InvalidRequest("'since' must lie before 'until'.", param="since")
    return start, end


def _moment(name: str, text: str, zone: Any, *, whole_day: bool = False) -> datetime:
    """An ISO 8601 day or moment; without an offset it is read in ``zone``."""
    try:
        if len(text) == len("2026-11-20"):
            day = date.fromisoformat(text)
            return _midnight(day + timedelta(days=1) if whole_day else day, zone)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"'{name}' must be a day such as 2026-11-20 or a moment such as 2026-11-20T08:00:00Z.", param=name
        ) from None


def _midnight(day: date, zone: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
