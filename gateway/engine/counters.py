"""The counters that limits make, and what the ledger's sums and open attempts come to in them. Pure.

A limit is a threshold over a counter, and a counter's sum is a sum over attempts by their scope and the
moment of their admission. So sums are made from the ledger's columns and never from what attempts happened to
hold: a limit that is new today counts what its window already saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from gateway.ledger.accounts.credits import Credited
from gateway.ledger.counted import Counted, Span
from gateway.ledger.snapshot import OpenAttempt
from gateway.quota.holds import Line
from gateway.quota.plan import NEVER, Spot, spot
from gateway.quota.store import SKEW_MS
from gateway.quota.terms import MAX_AMOUNT, Kind, Level, Limit, Measure, Scope
from gateway.quota.windows import BUCKETS, Calendar, Period, from_ms


@dataclass(frozen=True, slots=True)
class Rule:
    """Whose counters a limit makes. ``project_id`` and ``key_id`` None mean each one, where the level has
    them, so ``Rule(Level.END_USER, …, project_id="p", key_id="k")`` is a counter for each end user of a key.
    ``model`` None: all models together."""

    level: Level
    measure: Measure
    per: Period
    rolling: bool = False
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    kind: Kind = field(init=False)

    def __post_init__(self) -> None:
        if self.measure is Measure.CONCURRENT:
            raise ValueError("what runs now is not a sum")
        scope = Scope.organization(model=self.model)
        object.__setattr__(self, "kind", Limit(scope, self.measure, 1, self.per, self.rolling).kind)

    def limit(self, of: Owner) -> Limit:
        """The limit that has the counter of ``of``; its amount means nothing here."""
        return Limit(_scope(self.level, of, self.model), self.measure, 1, self.per, self.rolling)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a counter belongs to; what its level does not have is empty. ``end_user`` is the digest."""

    project_id: str = ""
    key_id: str = ""
    end_user: str = ""


Place = tuple[Level, str | None, str | None, str | None]
"""Level, project, key, model: what rules are found by."""


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window that some rules count in now."""

    rolling: bool
    span: Span
    spot: Spot
    rules: Sequence[Rule]


def windows(rules: Sequence[Rule], calendar: Calendar, now: int) -> list[OpenWindow]:
    """Those of now, and of the moments that a store's clock may show instead."""
    groups: dict[tuple[Period, bool], list[Rule]] = defaultdict(list)
    for rule in rules:
        groups[rule.per, rule.rolling].append(rule)
    found: list[OpenWindow] = []
    for (_, rolling), members in groups.items():
        spots: dict[str, Spot] = {}
        for at in (now - SKEW_MS, now, now + SKEW_MS):
            here = spot(members[0].limit(Owner()), calendar, from_ms(at))
            spots.setdefault(here.slot, here)
            if rolling:
                break  # the oldest buckets of the earliest moment on; one span holds all that follow
        found += [OpenWindow(rolling, _span(here, rolling), here, members) for here in spots.values()]
    return found


def _span(at: Spot, rolling: bool) -> Span:
    if rolling:
        return Span(from_ms(max(at.start - BUCKETS * at.param, 0)), None, at.param)
    return Span(from_ms(at.start), None if at.end == NEVER else from_ms(at.end))


def lines(window: OpenWindow, sums: Sequence[Counted]) -> Iterable[Line]:
    """The sums as lines of the counters of the window's rules."""
    added: dict[tuple[Level, bool], _Sums] = {}
    for rule in window.rules:
        shape = (rule.level, rule.model is not None)
        if shape not in added:
            added[shape] = _Sums(shape[0], shape[1], sums)
        for owner, bucket, amounts in added[shape].of(rule):
            amount = min(amounts[rule.measure], MAX_AMOUNT)
            if amount:
                yield _line(rule.limit(owner), amount, *_place(window, bucket), window.spot.param)


_LEVELS = {
    "org": Level.ORGANIZATION,
    "project": Level.PROJECT,
    "key": Level.KEY,
    "user": Level.END_USER,
}


def credited_lines(
    window: OpenWindow, sums: Sequence[Credited], name_of: Callable[[str], str]
) -> Iterable[Line]:
    """What was given back in the window, as lines of the dollar counters of exactly its scope. ``name_of``
    gives the one name under which a model is counted."""
    given: dict[tuple[Level, Owner, str | None, int], int] = defaultdict(int)
    for each in sums:
        whose, _, model = each.scope.partition("@")
        level, *owner = map(unquote, whose.split(":"))
        place = (_LEVELS[level], Owner(*owner), name_of(unquote(model)) if model else None, each.bucket)
        given[place] += each.amount
    for (at, owned_by, counted_as, bucket), amount in given.items():
        for rule in window.rules:
            if (
                (rule.measure, rule.level, rule.model) == (Measure.SPEND, at, counted_as)
                and rule.project_id in (None, owned_by.project_id)
                and rule.key_id in (None, owned_by.key_id)
            ):
                exact = min(max(amount, 0), MAX_AMOUNT)
                yield _line(rule.limit(owned_by), exact, *_place(window, bucket), window.spot.param)


def open_lines(
    attempt: OpenAttempt, rules: Mapping[Place, Sequence[Rule]], calendar: Calendar
) -> Iterable[Line]:
    """What an open attempt weighs in the counters of all rules that apply to it."""
    amounts = {
        Measure.SPEND: attempt.hold_amount,
        Measure.TOKENS: attempt.hold_tokens,
        Measure.REQUESTS: attempt.requests,
        Measure.IMAGES: attempt.images,
    }
    for rule in _applying(attempt, rules):
        amount = amounts[rule.measure]
        if amount:
            owner = _owner(rule.level, attempt.project_id, attempt.key_id, attempt.end_user_digest)
            limit = rule.limit(owner)
            at = spot(limit, calendar, attempt.admitted_at)
            yield _line(limit, amount, at.slot, at.expires, at.param)


def _line(limit: Limit, amount: int, slot: str, expires: int, param: int) -> Line:
    return Line(limit.counter, limit.kind, limit.measure, amount, slot, param, expires)


def _place(window: OpenWindow, bucket: int) -> tuple[str, int]:
    if not window.rolling:
        return window.spot.slot, window.spot.expires
    return str(bucket), window.spot.expires - window.spot.start + bucket * window.spot.param


class _Sums:
    """Sums of one window by the owners of one level, found by project and key."""

    def __init__(self, level: Level, by_model: bool, sums: Sequence[Counted]) -> None:
        self._level = level
        self._amounts: dict[tuple[str, str, str], dict[tuple[Owner, int], dict[Measure, int]]] = {}
        self._keys: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        for each in sums:
            owner = _owner(level, each.project_id, each.key_id, each.end_user_digest)
            place = (owner.project_id, owner.key_id, each.model if by_model else "")
            self._keys[owner.project_id].add(place)
            amounts = self._amounts.setdefault(place, {}).setdefault((owner, each.bucket), defaultdict(int))
            amounts[Measure.SPEND] += each.spend
            amounts[Measure.TOKENS] += each.tokens
            amounts[Measure.REQUESTS] += each.requests
            amounts[Measure.IMAGES] += each.images

    def of(self, rule: Rule) -> Iterable[tuple[Owner, int, Mapping[Measure, int]]]:
        for place in self._places(rule):
            for (owner, bucket), amounts in self._amounts.get(place, {}).items():
                yield owner, bucket, amounts

    def _places(self, rule: Rule) -> Iterable[tuple[str, str, str]]:
        model = rule.model or ""
        projects: Iterable[str] = [""] if self._level is Level.ORGANIZATION else [rule.project_id or ""]
        if rule.project_id is None and self._level is not Level.ORGANIZATION:
            projects = list(self._keys)
        with_key = self._level in (Level.KEY, Level.END_USER)
        for project in projects:
            if with_key and rule.key_id is None:
                yield from (place for place in self._keys.get(project, ()) if place[2] == model)
            else:
                yield project, (rule.key_id or "") if with_key else "", model


def _owner(level: Level, project_id: str, key_id: str, end_user: str) -> Owner:
    match level:
        case Level.ORGANIZATION:
            return Owner()
        case Level.PROJECT:
            return Owner(project_id)
        case Level.KEY:
            return Owner(project_id, key_id)
        case Level.END_USER:
            return Owner(project_id, key_id, end_user)


def _scope(level: Level, of: Owner, model: str | None) -> Scope:
    match level:
        case Level.ORGANIZATION:
            return Scope.organization(model=model)
        case Level.PROJECT:
            return Scope.project(of.project_id, model=model)
        case Level.KEY:
            return Scope.key(of.project_id, of.key_id, model=model)
        case Level.END_USER:
            # As Scope.end_user names it; the ledger keeps the digest and not the client's word.
            parts = ("user", quote(of.project_id, safe=""), quote(of.key_id, safe=""), of.end_user)
            text = ":".join(parts)
            return Scope(level, text if model is None else f"{text}@{quote(model, safe='')}", model)


def by_place(rules: Sequence[Rule]) -> Mapping[Place, Sequence[Rule]]:
    """For :func:`open_lines`."""
    found: dict[Place, list[Rule]] = defaultdict(list)
    for rule in rules:
        found[rule.level, rule.project_id, rule.key_id, rule.model].append(rule)
    return found


def _applying(attempt: OpenAttempt, rules: Mapping[Place, Sequence[Rule]]) -> Iterable[Rule]:
    for level in Level:
        projects = [None] if level is Level.ORGANIZATION else [None, attempt.project_id]
        keys = [None, attempt.key_id] if level in (Level.KEY, Level.END_USER) else [None]
        for project in projects:
            for key in keys:
                for model in (None, attempt.model):
                    yield from rules.get((level, project, key, model), ())
