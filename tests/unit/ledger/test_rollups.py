"""Sums made ahead equal the sums of the rows, whatever happened in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, func, select

from gateway.ledger.counted import ROLLUP, Counted, Span
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Entry, NewAttempt, Usage
from gateway.ledger.reports import Dimension, UsageReport
from gateway.ledger.rollups import MOST_RAW_SPANS, Split, _split, chunks, mark, roll_up
from gateway.ledger.tables import counted_rollup, rollup_marks, to_micros, usage_rollup
from gateway.ledger.touched import ROLLUPS
from gateway.ledger.unknowns import UnknownPolicy
from tests.unit.ledger.entries import NOON, attempt, end, request, request_end

LATER = to_micros(NOON + timedelta(days=400))
DAY = timedelta(days=1)


async def rolled_up(ledger: Ledger, now: int = LATER) -> None:
    def work(connection: Connection) -> None:
        for rollup in ROLLUPS:
            while roll_up(connection, rollup, now):
                pass

    await ledger._store.write(work)


async def marks(ledger: Ledger) -> int:
    return int(
        await ledger._store.read(lambda c: c.scalar(select(func.count()).select_from(rollup_marks))) or 0
    )


async def without_rollups(ledger: Ledger) -> None:
    """Everything is read raw from here on, until it is rolled up anew."""

    def work(connection: Connection) -> None:
        for rollup in ROLLUPS:
            slots = set(connection.scalars(select(rollup.table.c.slot)))
            connection.execute(delete(rollup.table))
            rows = [{"rollup": rollup.name, "slot": slot, "mark_id": "all"} for slot in slots]
            if rows:
                connection.execute(rollup_marks.insert(), rows)

    await ledger._store.write(work)


class History:
    """A random life of a ledger."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.dice = random.Random(seed)
        self.open: list[str] = []
        self.running: list[str] = []
        self.made = 0

    async def step(self) -> None:
        dice = self.dice
        entries: list[Entry] = []
        for _ in range(dice.randrange(1, 8)):
            self.made += 1
            name = f"r{self.made}"
            received = NOON + timedelta(seconds=dice.randrange(0, 4 * 86_400))
            entries.append(
                request(
                    name,
                    received_at=received,
                    project_id=dice.choice(["p1", "p2"]),
                    key_id=dice.choice("ab"),
                    model=dice.choice("xy"),
                    n=dice.randrange(1, 4),
                    end_user=dice.choice([None, "anna", "otto"]),
                )
            )
            self.running.append(name)
            for ordinal in range(1, dice.randrange(1, 4)):
                entries.append(self._attempt(name, ordinal, received))
                self.open.append(f"{name}/{ordinal}")
        await self.ledger.record(*entries)
        dice.shuffle(self.open)
        for _ in range(min(len(self.open), dice.randrange(0, 9))):
            await self._end(self.open.pop())
        for _ in range(min(len(self.running), dice.randrange(0, 6))):
            name = self.running.pop(dice.randrange(len(self.running)))
            await self.ledger.record(request_end(name, dice.choice([200, 200, 500]), 0, dice.randrange(3)))
        match dice.randrange(8):
            case 0:
                await self.ledger.lapse(self.open[:3])
            case 1:
                policy = dice.choice([UnknownPolicy.CHARGE_EXPECTED, UnknownPolicy.RELEASE])
                await self.ledger.resolve_unknown(timedelta(days=-2), policy)
            case 2 | 3 | 4:
                await rolled_up(self.ledger)

    def _attempt(self, name: str, ordinal: int, received: datetime) -> NewAttempt:
        amount = self.dice.choice([None, self.dice.randrange(10**9)])
        return replace(
            attempt(name, ordinal),
            admitted_at=received + timedelta(seconds=self.dice.randrange(0, 2000)),
            hold_amount=amount,
            expected=None if amount is None else self.dice.choice([None, amount // 2]),
            hold_tokens=self.dice.choice([None, 9000]),
        )

    async def _end(self, attempt_id: str) -> None:
        dice = self.dice
        state = dice.choice(
            [AttemptState.SETTLED, AttemptState.SETTLED, AttemptState.RELEASED, AttemptState.UNKNOWN]
        )
        cost = {AttemptState.SETTLED: dice.choice([None, dice.randrange(10**9)]), AttemptState.RELEASED: 0}
        usage = dice.choice(
            [None, Usage(input_tokens=3, output_tokens=dice.randrange(5000)), Usage(total_tokens=7)]
        )
        sent = state is not AttemptState.RELEASED or dice.random() < 0.5
        await self.ledger.record(end(attempt_id, state, cost.get(state), usage=usage, sent=sent))
        if state is AttemptState.UNKNOWN:
            self.open.append(attempt_id)


SPANS = [
    Span(NOON - 9 * DAY),
    Span(NOON + timedelta(hours=3, minutes=7), NOON + timedelta(days=2, seconds=1)),
    Span(NOON, None, 24 * 60_000),
    Span(NOON, None, 168 * 60_000),
    Span(NOON, None, 60_000),
]


async def everything(ledger: Ledger) -> tuple[list[UsageReport], list[list[Counted]]]:
    reports = [
        await ledger.usage(since=since, until=NOON + timedelta(days=3, minutes=5), by=by, timezone=zone)
        for since in (None, NOON + timedelta(hours=2, minutes=2))
        for by in ([], list(Dimension), [Dimension.DAY], [Dimension.MODEL])
        for zone in ("UTC", "Asia/Kolkata", "Europe/Vienna")
    ]
    sums: list[list[Counted]] = []
    for before in (None, NOON + timedelta(days=1, seconds=77)):
        found: Sequence[Sequence[Counted]] = (await ledger.snapshot([], before, SPANS)).sums
        sums += [sorted(each, key=repr) for each in found]
    return reports, sums


@pytest.mark.parametrize("seed", range(3))
async def test_rollups_equal_the_sums_of_the_rows_in_any_history(ledger: Ledger, seed: int) -> None:
    history = History(ledger, seed)
    for _ in range(12):
        await history.step()
    as_it_is = await everything(ledger)
    await without_rollups(ledger)
    raw = await everything(ledger)
    assert as_it_is == raw
    await rolled_up(ledger)
    assert await marks(ledger) == 0
    assert await everything(ledger) == raw
    assert raw[0][0].total.requests > 15
    assert any(raw[1])


async def test_a_slot_that_is_still_busy_keeps_one_mark_and_is_read_raw(ledger: Ledger) -> None:
    for number in range(5):
        await ledger.record(request(f"r{number}"), attempt(f"r{number}"))
        await ledger.record(end(f"r{number}/1"), request_end(f"r{number}"))
    assert await marks(ledger) == 5 * 2 + 5
    await rolled_up(ledger, to_micros(NOON + timedelta(minutes=1)))
    assert await marks(ledger) == 2
    for table in (usage_rollup, counted_rollup):
        query = select(func.count()).select_from(table)
        assert await ledger._store.read(lambda c, query=query: c.scalar(query)) == 0
    report = await ledger.usage(since=None, until=NOON + DAY, by=[], timezone="UTC")
    assert (report.total.requests, report.total.cost) == (5, 5 * 210_775_000)


async def test_a_slot_is_rolled_up_five_minutes_after_its_end_and_not_before(ledger: Ledger) -> None:
    await ledger.record(request("r"), attempt("r"))
    await ledger.record(end("r/1"))
    query = select(counted_rollup.c.slot)
    # Noon begins a slot of 12 minutes.
    ripe = to_micros(NOON.replace(microsecond=0) + timedelta(minutes=12 + 5))
    for now, slots in ((ripe - 1, []), (ripe, [ripe // 720_000_000 - 1])):
        await rolled_up(ledger, now)
        assert await ledger._store.read(lambda c: c.scalars(query).all()) == slots


async def test_what_is_marked_is_read_raw_with_its_neighbours_in_one_piece(ledger: Ledger) -> None:
    size = ROLLUP.slot_micros
    marked = [3, 5, 6, 9, 10, 20]
    await ledger._store.write(lambda c: mark(c, [(ROLLUP, slot) for slot in marked]))

    async def split(lo: int, hi: int) -> Split:
        return await ledger._store.read(lambda c: _split(c, ROLLUP, lo, hi))

    assert await split(4 * size, 10 * size) == Split(4, 10, ((5 * size, 7 * size), (9 * size, 10 * size)))
    assert await split(4 * size - 7, 10 * size + 8) == Split(
        4, 10, ((4 * size - 7, 4 * size), (5 * size, 7 * size), (9 * size, 10 * size + 8))
    )
    assert await split(5 * size - 7, 6 * size) == Split(5, 6, ((5 * size - 7, 6 * size),))
    assert await split(11 * size, 20 * size) == Split(11, 20, ())
    assert await split(11 * size + 1, 12 * size - 1) == Split(0, 0, ((11 * size + 1, 12 * size - 1),))
    assert await split(11 * size, 11 * size) == Split(0, 0, ())


async def test_beyond_so_many_pieces_all_is_read_raw_in_one(ledger: Ledger) -> None:
    size = ROLLUP.slot_micros
    await ledger._store.write(lambda c: mark(c, [(ROLLUP, 2 * n + 1) for n in range(MOST_RAW_SPANS + 1)]))
    for pieces, most in ((MOST_RAW_SPANS, False), (MOST_RAW_SPANS + 1, True)):
        hi = 2 * pieces * size
        found = await ledger._store.read(lambda c, hi=hi: _split(c, ROLLUP, 0, hi))
        assert (found == Split(0, 0, ((0, hi),))) is most
        assert len(found.raw) == (1 if most else pieces)


def test_a_list_of_ids_comes_in_parts_and_whole() -> None:
    assert list(chunks(["a", "b", "c", "d", "e"], 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(chunks(["a", "b"], 2)) == [["a", "b"]]
    assert list(chunks([])) == []


async def test_a_change_that_commits_while_a_slot_is_rolled_up_is_not_lost(
    postgres_database: str, tmp_path: Path
) -> None:
    """The one hard race: the sums are made, and before they commit another replica changes a row."""
    one = await Ledger.open(postgres_database, tmp_path)
    other = await Ledger.open(postgres_database, tmp_path)
    try:
        await one.record(request("r"), attempt("r"))
        made, changed = asyncio.Event(), asyncio.Event()
        async with one._store._writer.connect() as connection:  # type: ignore[attr-defined]
            for rollup in ROLLUPS:
                await connection.run_sync(lambda c, rollup=rollup: roll_up(c, rollup, LATER))
            made.set()
            await other.record(end("r/1", cost=7), request_end("r", cost=7))
            changed.set()
            await connection.commit()
        report = await one.usage(since=None, until=NOON + DAY, by=[], timezone="UTC")
        assert (report.total.cost, report.total.unknown_cost) == (7, 0)
        await rolled_up(one)
        report = await one.usage(since=None, until=NOON + DAY, by=[], timezone="UTC")
        assert (report.total.cost, report.total.unknown_cost) == (7, 0)
    finally:
        await one.close()
        await other.close()


async def test_replicas_that_roll_up_together_count_once(postgres_database: str, tmp_path: Path) -> None:
    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(3)]
    try:
        for number in range(20):
            moment = NOON + timedelta(hours=number)
            await replicas[0].record(
                request(f"r{number}", received_at=moment), attempt(f"r{number}"), end(f"r{number}/1", cost=1)
            )
        await asyncio.gather(*(rolled_up(replica) for replica in replicas))
        await rolled_up(replicas[0])
        report = await replicas[1].usage(since=None, until=NOON + DAY, by=[], timezone="UTC")
        assert (report.total.requests, report.total.cost) == (20, 20)
    finally:
        for replica in replicas:
            await replica.close()
