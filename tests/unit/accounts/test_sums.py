"""Closed months, their adjustments and what is open come to the ledger's sums, whatever happened when."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from gateway.ledger.accounts import live
from gateway.ledger.accounts.lines import CREDIT, Line, Totals
from gateway.ledger.accounts.months import Month
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState
from gateway.ledger.tables import attempts
from tests.unit.accounts.books import close, exported, lines, on
from tests.unit.ledger.entries import attempt, end, request, stored_attempts

FIRST = Month(2024, 3)
MONTHS = 6
VIENNA = ZoneInfo("Europe/Vienna")


class Life:
    """A ledger over some months, with months closed on the way and ends that come when they come."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.now = on(3, 1)
        self.open: list[str] = []
        self.made = 0
        self.closed: list[str] = []
        self.bytes: dict[str, str] = {}

    async def step(self) -> None:
        dice = self.dice
        self.now += timedelta(hours=dice.randrange(1, 200))
        for _ in range(dice.randrange(1, 6)):
            await self._call(self.now - timedelta(minutes=dice.randrange(0, 50)))
        dice.shuffle(self.open)
        for _ in range(min(len(self.open), dice.randrange(0, 4))):
            await self._end(self.open.pop())
        due = FIRST.after(len(self.closed))
        if self.now > due.next.begins(VIENNA) + timedelta(hours=3) and dice.random() < 0.6:
            await close(self.ledger, str(due))
            self.closed.append(str(due))
            self.bytes[str(due)] = await exported(self.ledger, str(due))

    async def _call(self, moment: datetime) -> None:
        dice = self.dice
        self.made += 1
        name = f"r{dice.randrange(10**6)}-{self.made}"
        await self.ledger.record(request(name, received_at=moment))
        for ordinal in range(1, dice.randrange(1, 4)):
            held = dice.choice([None, dice.randrange(1000)])
            expected = None if held is None else dice.choice([None, held // 2])
            sent = replace(attempt(name, ordinal), dispatched_at=moment, hold_amount=held, expected=expected)
            await self.ledger.record(sent)
            if dice.random() < 0.6:
                await self._end(f"{name}/{ordinal}")
            else:
                self.open.append(f"{name}/{ordinal}")

    async def _end(self, attempt_id: str) -> None:
        dice = self.dice
        state = dice.choice([AttemptState.SETTLED, AttemptState.RELEASED, AttemptState.UNKNOWN])
        cost = {AttemptState.SETTLED: dice.choice([None, dice.randrange(10**9)]), AttemptState.RELEASED: 0}
        # Some ends lay beside the database for weeks.
        at = self.now - timedelta(days=dice.choice([0, 0, 0, 40]))
        await self.ledger.record(end(attempt_id, state, cost.get(state), ended_at=at))
        if state is AttemptState.UNKNOWN:
            self.open.append(attempt_id)


@pytest.mark.parametrize("seed", range(4))
async def test_closed_months_adjustments_and_open_months_are_the_ledger(
    ledger: Ledger, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGE_REQUESTS", 7)
    life = Life(ledger, seed)
    for _ in range(25):
        await life.step()
        found = [line for at in range(MONTHS + 3) for line in await lines(ledger, str(FIRST.after(at)))]
        await equal_the_rows(ledger, found)
    assert len(life.closed) >= 2
    for month, told in life.bytes.items():
        assert await exported(ledger, month) == told
    for closed in await ledger.accounts.months():
        totals = Totals().add(await lines(ledger, str(closed.span.month)))
        assert totals == Totals(
            closed.lines, closed.attempts, closed.cost, closed.credits, closed.unknown, closed.unknown_lines
        )


async def equal_the_rows(ledger: Ledger, found: list[Line]) -> None:
    settled = select(func.coalesce(func.sum(attempts.c.cost), 0)).where(
        attempts.c.state == AttemptState.SETTLED
    )
    assert sum(line.cost or 0 for line in found if line.kind != CREDIT) == int(
        await ledger._store.read(lambda c: c.scalar(settled)) or 0
    )
    costs: dict[str, int] = defaultdict(int)
    unknown: dict[str, int] = defaultdict(int)
    for line in found:
        costs[line.attempt_id] += line.cost or 0
        unknown[line.attempt_id] += line.unknown or 0
    rows = await stored_attempts(ledger)
    assert costs.keys() == rows.keys()
    assert len({line.line_id for line in found}) == len(found)
    for attempt_id, row in rows.items():
        is_known = row.state == "released" or (row.state == "settled" and row.cost is not None)
        likely = row.expected if row.expected is not None else row.hold_amount
        assert costs[attempt_id] == (row.cost or 0 if row.state in ("settled", "released") else 0)
        assert unknown[attempt_id] == (0 if is_known else likely or 0), attempt_id
