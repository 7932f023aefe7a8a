"""A forecast from standings says what the store would say to the same reservations."""

from __future__ import annotations

import random

import pytest

from gateway.quota.forecast import forecast, need
from gateway.quota.outcomes import Admitted, Refused, Reservation
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import from_ms
from tests.unit.quota.worlds import world

ORG, PROJECT = Scope.organization(), Scope.project("p")
LIMITS = (
    Limit(ORG, Measure.SPEND, 100, "day"),
    Limit(PROJECT, Measure.SPEND, 60, "hour", rolling=True),
    Limit(PROJECT, Measure.SPEND, 20, "day", shadow=True),
    Limit(ORG, Measure.IMAGES, 7, "minute"),
    Limit(PROJECT, Measure.REQUESTS, 4, "minute"),
    Limit(PROJECT, Measure.TOKENS, 300, "total"),
    Limit(ORG, Measure.CONCURRENT, 4),
)
DAY = 86_400_000


@pytest.mark.parametrize("seed", range(12))
async def test_a_forecast_is_what_the_store_then_does(seed: int) -> None:
    dice, said = random.Random(seed), set()
    async with world("local", warm=False) as at:
        await at.set_clock(20_000 * DAY + dice.randrange(DAY))
        await at.rebuild()
        running = []
        for step in range(60):
            calls = dice.choice((1, 1, 2, 3))
            limits = dice.sample(LIMITS, dice.randint(1, len(LIMITS)))
            wanted = [
                Reservation(f"{step}/{n}", amounts(dice, first=n == 1), limits) for n in range(1, calls + 1)
            ]
            expected = forecast(wanted, await at.store.standing(limits), from_ms(at.now))
            outcome = await at.store.reserve(wanted)
            said.add(expected is None)
            if isinstance(outcome, Admitted):
                assert expected is None
                running += outcome.holds
            else:
                assert isinstance(outcome, Refused)
                assert expected is not None
                for name in ("bindings", "shadowed"):
                    ours, theirs = getattr(expected, name), getattr(outcome, name)
                    assert {(b.limit, b.needed) for b in ours} == {(b.limit, b.needed) for b in theirs}
            while running and dice.random() < 0.5:
                hold = running.pop(dice.randrange(len(running)))
                await at.store.dispatch(hold)
                await at.store.settle(hold, {Measure.SPEND: dice.randrange(30)})
            await at.advance(dice.choice((0, 1, 700, 20_000, 300_000)))
    assert said == {True, False}


def amounts(dice: random.Random, *, first: bool) -> dict[Measure, int]:
    found = {Measure.SPEND: dice.randrange(30), Measure.TOKENS: dice.randrange(40)}
    return {**found, Measure.REQUESTS: 1, Measure.IMAGES: dice.randint(1, 4)} if first else found


def test_calls_that_run_side_by_side_each_need_a_place() -> None:
    running = LIMITS[-1]
    wanted = [Reservation(f"r/{n}", {}, [running]) for n in (1, 2, 3)]
    assert need(wanted, running) == 3
    assert need(wanted, LIMITS[0]) == 0
