"""How limits, targets and the budget for repeating stand, for whoever reads the metrics.

Limits of the organization and its projects are shown, and those of keys on a list: end users and thousands of
keys would be as many series.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter

from gateway.errors import Unavailable
from gateway.images.amounts import NANO
from gateway.quota.of_settings import LimitBook, names_of
from gateway.quota.outcomes import Standing
from gateway.quota.store import QuotaStore
from gateway.quota.terms import Level, Limit, Measure
from gateway.routing.directory import ModelDirectory
from gateway.routing.names import Shape, TargetName, target_name
from gateway.routing.retry_budget import RetrySpend
from gateway.routing.watch import Watch
from gateway.telemetry import gauges
from gateway.telemetry.gauges import Board, Row

FRESH = 1.0
"""Seconds for which what was looked at is told again, so that many readers cost no more than one."""

PART = "standing"
"""Of the board, the part that is written here."""


class Gauges:
    """``keys`` are the ids of keys whose limits are shown."""

    def __init__(
        self,
        board: Board,
        directory: ModelDirectory,
        book: LimitBook,
        store: QuotaStore,
        watch: Watch,
        spend: RetrySpend,
        keys: Collection[str] = (),
    ) -> None:
        self._board = board
        self._store = store
        self._watch = watch
        self._spend = spend
        self.reconfigured(directory, book, keys)
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    def reconfigured(self, directory: ModelDirectory, book: LimitBook, keys: Collection[str]) -> None:
        """Other limits and targets are shown from the next look on."""
        self._book = book
        self._keys = frozenset(keys)
        self._targets = sorted(_targets(directory))

    async def look(self) -> None:
        """Bring the board up to date. A store that is away leaves its gauges out, and says so by one."""
        async with self._lock:
            now = perf_counter()
            if now - self._looked < FRESH:
                return
            rows = self._of_targets(now)
            rows[gauges.RETRY_SPEND] = [(self._spend.used(now), {})]
            try:
                standings = await self._store.standing(self._limits())
            except Unavailable:
                rows[gauges.LIMITS_READABLE] = [(0, {})]
            else:
                rows[gauges.LIMITS_READABLE] = [(1, {})]
                rows.update(_of_limits(standings))
            self._board.write(PART, rows)
            self._looked = now

    async def keep_looking(self, every: float) -> None:
        """For readers that do not ask first. Never returns."""
        while True:
            with suppress(Unavailable):
                await self.look()
            await asyncio.sleep(every)

    def _limits(self) -> list[Limit]:
        limits = self._book.all_limits(datetime.now(UTC))
        return [each for each in limits if each.scope.level is not Level.KEY or self._is_listed(each)]

    def _is_listed(self, limit: Limit) -> bool:
        return names_of(limit.scope).key_id in self._keys

    def _of_targets(self, now: float) -> dict[str, list[Row]]:
        states: list[Row] = []
        scores: list[Row] = []
        cooldowns: list[Row] = []
        for provider, model in self._targets:
            name = target_name(provider, model)
            labels = {"provider": provider, "model": model}
            live = self._watch.live(name, now)
            states.append((1, {**labels, "state": live.state}))
            if live.success is not None:
                scores.append((live.success, labels))
            cooldowns.append((self._rest(name, model, now), labels))
        return {
            gauges.PROVIDER_STATE: states,
            gauges.PROVIDER_SCORE: scores,
            gauges.PROVIDER_COOLDOWN: cooldowns,
        }

    def _rest(self, name: TargetName, model: str, now: float) -> float:
        cooldown = self._watch.standing(name, Shape(model), now).cooldown
        return 0 if cooldown is None else max(cooldown.until - now, 0)


def _targets(directory: ModelDirectory) -> set[tuple[str, str]]:
    models = (directory.get(name) for name in directory.names())
    return {(each.provider, each.model) for model in models if model for each in model.usable}


def _of_limits(standings: Sequence[Standing]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {
        name: []
        for name in (
            gauges.BUDGET_LIMIT,
            gauges.BUDGET_SETTLED,
            gauges.BUDGET_HELD,
            gauges.BUDGET_UNKNOWN,
            gauges.LIMIT_USAGE,
        )
    }
    for standing in standings:
        limit = standing.limit
        labels = _labels(limit)
        if limit.amount:
            usage = {**labels, "measure": limit.measure.value}
            rows[gauges.LIMIT_USAGE].append((standing.used / limit.amount, usage))
        if limit.measure is Measure.SPEND:
            for name, amount in (
                (gauges.BUDGET_LIMIT, limit.amount),
                (gauges.BUDGET_SETTLED, standing.settled),
                (gauges.BUDGET_HELD, standing.held),
                (gauges.BUDGET_UNKNOWN, standing.unknown),
            ):
                rows[name].append((amount / NANO, labels))
    return rows


def _labels(limit: Limit) -> dict[str, str]:
    names = names_of(limit.scope)
    return {
        "scope": names.level.value,
        "project": names.project_id or "",
        "key": names.key_id or "",
        "model": names.model or "",
        "per": f"rolling {limit.per}" if limit.rolling else (limit.per or ""),
        "trial": "yes" if limit.shadow else "no",
    }
