"""Dollar limits by the ledger's sum: a scope that has reached its limit is refused.

This stops spending that has been recorded; calls that are still running are not held against the limit, so a
burst can end above it. Targets that cost nothing (the sandbox) are never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from config.schema import LimitSettings, Period
from gateway.caller import Caller
from gateway.errors import InvalidRequest, SpendLimitReached
from gateway.images.amounts import NANO, NanoDollars, dollars
from gateway.ledger.ledger import Ledger
from gateway.routing.directory import PublicModel, Target


@dataclass(frozen=True, slots=True)
class _Scope:
    level: str
    name: str
    code: str
    limits: Sequence[LimitSettings]
    project_id: str | None = None
    key_id: str | None = None


class SpendingGate:
    """Asks the ledger before each request whether a scope has already spent its limit."""

    def __init__(self, ledger: Ledger, limits: Sequence[LimitSettings], timezone: str) -> None:
        self._ledger = ledger
        self._limits = limits
        self._zone = ZoneInfo(timezone)

    async def admissible(self, model: PublicModel, caller: Caller, now: datetime) -> Sequence[Target]:
        """The targets this caller may spend on now, in order. Raises :class:`SpendLimitReached`, or
        :class:`InvalidRequest` ``price_unknown`` where a dollar limit meets a target without a price."""
        scopes = [scope for scope in self._scopes(caller) if scope.limits]
        targets = model.usable
        if not scopes:
            return targets
        free = [target for target in targets if _is_free(target, now.date())]
        if len(free) == len(targets):
            return targets
        reached = await self._reached(scopes, now)
        if reached is not None:
            if free:
                return free
            raise reached
        priced = [target for target in targets if target.entry.price_on(now.date()) is not None]
        if not priced:
            raise InvalidRequest(
                f"What '{model.name}' costs is not known to this gateway, and a dollar limit applies to your "
                f"key, so the call was not made. The operator can describe its price by naming a catalog "
                f"entry (models.{model.name}.targets[].catalog).",
                param="model",
                code="price_unknown",
            )
        return priced

    def _scopes(self, caller: Caller) -> list[_Scope]:
        return [
            _Scope("organization", "the organization", "organization_spend_limit_exceeded", self._limits),
            _Scope(
                "project",
                f"project '{caller.project_name}'",
                "project_spend_limit_exceeded",
                caller.project_limits,
                project_id=caller.project_id,
            ),
            _Scope(
                "key",
                f"key '{caller.key_name}'",
                "insufficient_quota",
                caller.key_limits,
                key_id=caller.key_id,
            ),
        ]

    async def _reached(self, scopes: Sequence[_Scope], now: datetime) -> SpendLimitReached | None:
        for scope in scopes:
            for limit in scope.limits:
                start, end = window(limit.per, now, self._zone)
                spent = await self._ledger.spent(start, project_id=scope.project_id, key_id=scope.key_id)
                if spent >= int(limit.spend_usd * NANO):
                    return _refusal(scope, limit, spent, end)
        return None


def _is_free(target: Target, day: date) -> bool:
    price = target.entry.price_on(day)
    return price is not None and price.free


def _refusal(scope: _Scope, limit: LimitSettings, spent: int, end: datetime | None) -> SpendLimitReached:
    per = "in total" if limit.per == "total" else f"per {limit.per}"
    resets = "It does not reset." if end is None else f"It resets at {end.isoformat(timespec='seconds')}."
    return SpendLimitReached(
        f"The spend limit of {scope.name} is reached: ${dollars(NanoDollars(spent))} of ${limit.spend_usd} "
        f"{per} is spent. "
        f"{resets} The 'sandbox' model costs nothing and still works; the operator can raise the limit.",
        code=scope.code,
    )


def window(per: Period, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime | None]:
    """The calendar window that ``now`` lies in, as [start, end) in UTC; no end for ``total``.

    Days follow the zone, so one may have 23 or 25 hours; weeks start on Monday.
    """
    local = now.astimezone(zone)
    if per == "total":
        return datetime(1970, 1, 1, tzinfo=UTC), None
    if per == "hour":
        start = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return start, start + timedelta(hours=1)
    first, after = _days(per, local.date())
    return _midnight(first, zone), _midnight(after, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _days(per: Period, day: date) -> tuple[date, date]:
    if per == "day":
        return day, day + timedelta(days=1)
    if per == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    months = {"month": 1, "quarter": 3, "year": 12}[per]
    month = (day.month - 1) // months * months
    following = month + months
    return date(day.year, month + 1, 1), date(day.year + following // 12, following % 12 + 1, 1)
