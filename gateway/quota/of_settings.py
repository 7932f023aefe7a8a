"""From settings to limits: which apply to a call, and which counters there are at all.

Everything that a file declares is prepared once; what is made per call are the limits of its end user. Model
names are made one: without ``models:`` a catalog model answers under its id and its aliases, and a limit on
one of these names counts them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from config.catalog import Catalog
from config.limits import LimitSettings
from config.schema import Settings
from gateway.quota.away import DEFAULT, Away
from gateway.quota.terms import Level, Limit, Measure, Scope
from gateway.quota.windows import Calendar, ZoneSince

NANO = Decimal(1_000_000_000)

_MEASURES: Mapping[str, Measure] = {
    "spend_usd": Measure.SPEND,
    "images": Measure.IMAGES,
    "requests": Measure.REQUESTS,
    "tokens": Measure.TOKENS,
    "concurrent": Measure.CONCURRENT,
}


@dataclass(frozen=True, slots=True)
class DeclaredLimit(Limit):
    """A limit with what its owner said besides. ``alert_at`` are shares of the amount, ascending;
    ``raised_until`` is set while a temporary raise is in ``amount``."""

    alert_at: tuple[Decimal, ...] = field(default=(), compare=False)
    away: Away | None = field(default=None, compare=False)
    raised_until: datetime | None = field(default=None, compare=False)


def away_of(limit: Limit) -> Away:
    """What holds for this limit while the store is away."""
    declared = limit.away if isinstance(limit, DeclaredLimit) else None
    return declared or DEFAULT[limit.measure]


def alerts_of(limit: Limit) -> tuple[Decimal, ...]:
    return limit.alert_at if isinstance(limit, DeclaredLimit) else ()


@dataclass(frozen=True, slots=True)
class ScopeNames:
    """A scope's parts, for people and for look-ups in the ledger. ``end_user`` is a digest: the client's own
    word is nowhere in a limit."""

    level: Level
    project_id: str | None = None
    key_id: str | None = None
    end_user: str | None = None
    model: str | None = None


def names_of(scope: Scope) -> ScopeNames:
    """The inverse of the scope's identity."""
    parts = [unquote(part) for part in scope.text.partition("@")[0].split(":")[1:]]
    project, key, end_user = [*parts, None, None, None][:3]
    return ScopeNames(scope.level, project, key, end_user, scope.model)


def calendar_of(settings: Settings, history: Sequence[ZoneSince], now: datetime) -> Calendar:
    """The organisation's calendar. ``history`` is that of earlier starts (empty at the first), kept in the
    ledger; where the zone has changed since, the result's own ``history`` is longer by one and must be kept.
    """
    zone = settings.organization.timezone
    return Calendar(history).changed(zone, now) if history else Calendar(zone)


@dataclass(frozen=True, slots=True)
class _Written:
    """One limit of the file, whose scope may lack its end user yet. ``raised_to`` holds before ``until``."""

    settings: LimitSettings
    model: str | None
    amount: int
    raised_to: int | None
    until: datetime | None

    def at(self, scope: Scope, now: datetime) -> DeclaredLimit:
        raised = self.raised_to is not None and self.until is not None and now < self.until
        return self.made(scope, raised=raised)

    def made(self, scope: Scope, *, raised: bool) -> DeclaredLimit:
        written = self.settings
        return DeclaredLimit(
            scope,
            _MEASURES[written.measure],
            self.raised_to if raised and self.raised_to is not None else self.amount,
            written.per,
            written.rolling,
            written.shadow,
            alert_at=tuple(sorted(written.alert_at)),
            away=Away(written.when_away) if written.when_away is not None else None,
            raised_until=self.until if raised else None,
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A limit whose scope is known, in both of its amounts."""

    model: str | None
    usual: DeclaredLimit
    raised: DeclaredLimit | None
    until: datetime | None

    def at(self, now: datetime) -> DeclaredLimit:
        if self.raised is not None and self.until is not None and now < self.until:
            return self.raised
        return self.usual


ScopeOf = Callable[[str | None], Scope]
"""A scope for a model, or for all models."""


class LimitBook:
    """All limits that a configuration declares. Make a new one when it is loaded anew."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._zone = ZoneInfo(settings.organization.timezone)
        self._one_name = _one_name(settings, catalog)
        organization = settings.organization
        self._organization = self._prepared(
            organization.limits, lambda model: Scope.organization(model=model)
        )
        self._projects: dict[str, tuple[_Prepared, ...]] = {}
        self._keys: dict[tuple[str, str], tuple[_Prepared, ...]] = {}
        self._users_of_project: dict[str, tuple[_Written, ...]] = {}
        self._users_of_key: dict[tuple[str, str], tuple[_Written, ...]] = {}
        for project in organization.projects:
            owner = project.project_id
            self._projects[owner] = self._prepared(project.limits, _project_scope(owner))
            self._users_of_project[owner] = tuple(self._written(each) for each in project.end_user_limits)
            for key in project.keys:
                both = (owner, declared_key_id(owner, key.name))
                self._keys[both] = self._prepared(key.limits, _key_scope(*both))
                self._users_of_key[both] = tuple(self._written(each) for each in key.end_user_limits)

    def limits_for(
        self, project_id: str, key_id: str, *, model: str | None, end_user: str | None, now: datetime
    ) -> tuple[DeclaredLimit, ...]:
        """What applies to a call: organization, project, key, end user. ``model`` is the public name that was
        asked for; None gives the limits of all models, for showing. Calls without an end user count together
        as one, so that leaving the name out evades nothing. ``now`` is aware."""
        asked = None if model is None else self.model_of(model)
        limits = [
            each.at(now)
            for each in self._declared(project_id, key_id)
            if model is None or each.model is None or each.model == asked
        ]
        for written in self._of_users(project_id, key_id):
            if model is None or written.model is None or written.model == asked:
                if end_user:
                    scope = Scope.end_user(project_id, key_id, end_user, model=written.model)
                else:
                    scope = nobody(project_id, key_id, written.model)
                limits.append(written.at(scope, now))
        return tuple(limits)

    def all_limits(self, now: datetime) -> tuple[DeclaredLimit, ...]:
        """Every limit whose counter is known beforehand: all but those of end users."""
        every = [*self._organization]
        for prepared in (*self._projects.values(), *self._keys.values()):
            every += prepared
        return tuple(each.at(now) for each in every)

    def model_of(self, model: str) -> str:
        """The name under which calls of a public model are counted: the ledger's sums need it too."""
        return self._one_name.get(model, model)

    def counts(self, limit: Limit, model: str) -> bool:
        """Whether calls of this public model count in ``limit``."""
        return limit.scope.model is None or limit.scope.model == self.model_of(model)

    def counts_end_users(self, project_id: str, key_id: str) -> bool:
        """Whether end users of this key have limits of their own."""
        return bool(self._of_users(project_id, key_id))

    def of_each_end_user(self) -> Iterator[tuple[str, str | None, DeclaredLimit]]:
        """The limits that hold for each end user, with their project and key (None: every key of the
        project); their own scope is that of calls which name nobody."""
        for owner, limits in self._users_of_project.items():
            for written in limits:
                yield owner, None, written.made(nobody(owner, "", written.model), raised=False)
        for (owner, key), limits in self._users_of_key.items():
            for written in limits:
                yield owner, key, written.made(nobody(owner, key, written.model), raised=False)

    def _declared(self, project_id: str, key_id: str) -> Iterator[_Prepared]:
        yield from self._organization
        yield from self._projects.get(project_id, ())
        yield from self._keys.get((project_id, key_id), ())

    def _of_users(self, project_id: str, key_id: str) -> tuple[_Written, ...]:
        return self._users_of_project.get(project_id, ()) + self._users_of_key.get((project_id, key_id), ())

    def _prepared(self, limits: Sequence[LimitSettings], scope_of: ScopeOf) -> tuple[_Prepared, ...]:
        found = []
        for limit in limits:
            written = self._written(limit)
            scope = scope_of(written.model)
            raised = written.made(scope, raised=True) if written.raised_to is not None else None
            usual = written.made(scope, raised=False)
            found.append(_Prepared(written.model, usual, raised, written.until))
        return tuple(found)

    def _written(self, limit: LimitSettings) -> _Written:
        temporary = limit.temporary
        return _Written(
            limit,
            None if limit.model is None else self.model_of(limit.model),
            _counted(limit, limit.amount),
            _counted(limit, temporary.to) if temporary is not None else None,
            end_of(temporary.until, self._zone) if temporary is not None else None,
        )


def nobody(project_id: str, key_id: str, model: str | None) -> Scope:
    """What calls that name no end user count under. The empty name is no client's."""
    return Scope.end_user(project_id, key_id, "", model=model)


def declared_key_id(project_id: str, name: str) -> str:
    """The id of a key that the file declares."""
    return f"{project_id}/{name}"


def end_of(until: date, zone: ZoneInfo) -> datetime:
    """The first moment at which it is over: after the day, or at the moment itself."""
    if isinstance(until, datetime):
        return (until if until.tzinfo is not None else until.replace(tzinfo=zone)).astimezone(UTC)
    return datetime.combine(until + timedelta(days=1), time(), zone).astimezone(UTC)


def _counted(limit: LimitSettings, amount: Decimal) -> int:
    """Dollars with nine decimals become nano-dollars exactly."""
    return int(amount * NANO) if limit.spend_usd is not None else int(amount)


def _project_scope(project_id: str) -> ScopeOf:
    return lambda model: Scope.project(project_id, model=model)


def _key_scope(project_id: str, key_id: str) -> ScopeOf:
    return lambda model: Scope.key(project_id, key_id, model=model)


def _one_name(settings: Settings, catalog: Catalog) -> Mapping[str, str]:
    """Alias → id, where aliases are public names at all."""
    if settings.models is not None:
        return {}
    return {
        alias: entry.id
        for account in settings.providers.values()
        for entry in catalog.served_by(account.type)
        for alias in entry.aliases
    }
