"""Many callers at once: exactly what fits is admitted, whichever scope is the tight one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from gateway.quota.errors import StoreAway
from gateway.quota.local import LocalQuotaStore
from gateway.quota.outcomes import Admitted, Epoch, Refused, Reservation
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.store import QuotaStore
from gateway.quota.terms import Limit, Measure, Scope

DOLLAR = 1_000_000_000
PRICE = 210_800_000  # gpt-image-2, high
CALLS = 64
FIT = 4
SCOPES = ("organization", "project", "key")


T = TypeVar("T")


async def insisted(ask: Callable[[], Awaitable[T]]) -> T:
    """On a busy machine Redis can be slower than the store's patience; each step may be asked again."""
    for _ in range(20):
        try:
            return await ask()
        except StoreAway:
            await asyncio.sleep(0.1)
    return await ask()


def limits(tight: str, run: int) -> list[Limit]:
    """Three levels of which one has $1.00 and the others plenty; every run has counters of its own."""
    name = f"run{run}"
    scopes = {
        "organization": Scope.organization(model=name),
        "project": Scope.project(name),
        "key": Scope.key(name, "k1"),
    }
    return [
        Limit(scope, Measure.SPEND, DOLLAR if level == tight else 1000 * DOLLAR, "month")
        for level, scope in scopes.items()
    ]


async def one_run(stores: Sequence[QuotaStore], tight: str, run: int) -> None:
    wanted = limits(tight, run)

    async def call(n: int) -> Admitted | Refused:
        await asyncio.sleep(0 if random.random() < 0.5 else random.random() / 1000)
        reservation = Reservation(f"{tight}-{run}-{n}/1", {Measure.SPEND: PRICE}, wanted)
        return await insisted(lambda: stores[n % len(stores)].reserve([reservation]))

    outcomes = await asyncio.gather(*(call(n) for n in range(CALLS)))
    admitted = [outcome for outcome in outcomes if isinstance(outcome, Admitted)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert (len(admitted), len(refused)) == (FIT, CALLS - FIT)
    assert {binding.limit.amount for outcome in refused for binding in outcome.bindings} == {DOLLAR}

    async def finish(n: int, outcome: Admitted) -> None:
        store = stores[n % len(stores)]
        await insisted(lambda: store.dispatch(outcome.holds[0]))
        for _ in range(2 if random.random() < 0.2 else 1):
            await insisted(lambda: store.settle(outcome.holds[0], {Measure.SPEND: PRICE}))

    await asyncio.gather(*(finish(n, outcome) for n, outcome in enumerate(admitted)))
    standings = await insisted(lambda: stores[0].standing(wanted))
    assert [(x.settled, x.held, x.unknown) for x in standings] == [(FIT * PRICE, 0, 0)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("tight", SCOPES)
async def test_f13_of_64_parallel_calls_exactly_4_fit_in_a_thousand_runs(tight: str) -> None:
    store = LocalQuotaStore()
    await store.freeze(Epoch(1))
    await store.rebuild(Epoch(1), [], [])
    for run in range(1000):
        await one_run([store], tight, run)


@pytest.mark.parametrize("tight", SCOPES)
async def test_f13_of_64_parallel_calls_through_four_replicas_exactly_4_fit(
    tight: str, redis_server: str
) -> None:
    async def epoch() -> Epoch:
        return Epoch(1)

    stores = [RedisQuotaStore.connect(redis_server, epoch, organization=f"race-{tight}") for _ in range(4)]
    try:
        await stores[0].freeze(Epoch(1))
        await stores[0].rebuild(Epoch(1), [], [])
        for run in range(50):
            await one_run(stores, tight, run)
    finally:
        for store in stores:
            await store.aclose()
