"""The counters that the ledger's sums are told for: those of every limit, end users' included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.engine.counters import Rule
from gateway.quota.of_settings import LimitBook, names_of
from gateway.quota.terms import Level, Limit, Measure


def rules_of(book: LimitBook) -> tuple[Rule, ...]:
    """Each once. Amounts are no part of a counter, so temporary raises do not matter here."""
    now = datetime.now(UTC)
    return tuple(dict.fromkeys([*_declared(book, now), *_end_users(book)]))


def _declared(book: LimitBook, now: datetime) -> Iterator[Rule]:
    for limit in book.all_limits(now):
        names = names_of(limit.scope)
        yield from _rule(limit, names.level, names.project_id, names.key_id)


def _end_users(book: LimitBook) -> Iterator[Rule]:
    for project_id, key_id, limit in book.of_each_end_user():
        yield from _rule(limit, Level.END_USER, project_id, key_id)


def _rule(limit: Limit, level: Level, project_id: str | None, key_id: str | None) -> Iterator[Rule]:
    """None for concurrency, which is no sum."""
    if limit.measure is not Measure.CONCURRENT and limit.per is not None:
        yield Rule(level, limit.measure, limit.per, limit.rolling, project_id, key_id, limit.scope.model)
