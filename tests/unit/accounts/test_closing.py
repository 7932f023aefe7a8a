"""A closed month never changes; what becomes known later is an adjustment of a later month."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from gateway.errors import InvalidRequest
from gateway.ledger.accounts import live
from gateway.ledger.accounts.accounts import Cursor
from gateway.ledger.accounts.lines import Names
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.tables import closed_months, month_chunks
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, NewAttempt
from gateway.ledger.tables import attempts, requests
from tests.unit.accounts.books import NAMES, close, closer, exported, lines, on
from tests.unit.ledger.entries import attempt, end, request


def sent(name: str, moment: datetime, ordinal: int = 1, **changes: Any) -> NewAttempt:
    return replace(attempt(name, ordinal), dispatched_at=moment, **changes)


async def spend(ledger: Ledger, name: str, moment: datetime, cost: int | None = 100, **changes: Any) -> None:
    await ledger.record(request(name, received_at=moment, **changes), sent(name, moment))
    await ledger.record(end(f"{name}/1", cost=cost, ended_at=moment + timedelta(minutes=1)))


async def lose(ledger: Ledger, name: str, moment: datetime, expected: int | None = 50, **held: Any) -> None:
    await ledger.record(request(name, received_at=moment), sent(name, moment, expected=expected, **held))
    unknown = end(f"{name}/1", AttemptState.UNKNOWN, None, usage=None, ended_at=moment, images=None)
    await ledger.record(unknown)


async def test_a_month_is_that_of_admission_in_the_organisations_zone(ledger: Ledger) -> None:
    await spend(ledger, "before", datetime(2024, 8, 31, 21, 59, 59, tzinfo=UTC))
    await spend(ledger, "first", datetime(2024, 8, 31, 22, tzinfo=UTC))
    await spend(ledger, "last", datetime(2024, 9, 30, 21, 59, 59, 999999, tzinfo=UTC))
    await spend(ledger, "after", datetime(2024, 9, 30, 22, tzinfo=UTC))
    assert [line.attempt_id for line in await lines(ledger, "2024-09")] == ["first/1", "last/1"]
    await close(ledger, "2024-08")
    closed = await close(ledger, "2024-09")
    assert [line.attempt_id for line in await lines(ledger, "2024-09")] == ["first/1", "last/1"]
    assert [line.day for line in await lines(ledger, "2024-09")] == ["2024-09-01", "2024-09-30"]
    assert (closed.lines, closed.cost, closed.unknown, closed.unknown_lines) == (2, 200, 0, 0)


async def test_f56_a_call_that_runs_past_the_month_is_of_the_month_that_admitted_it(ledger: Ledger) -> None:
    await ledger.record(request("r", received_at=on(8, 31, 21)), sent("r", on(8, 31, 21)))
    await ledger.record(end("r/1", cost=7, ended_at=on(9, 1, 3)))
    await close(ledger, "2024-08")
    (line,) = await lines(ledger, "2024-08")
    assert (line.cost, line.day, line.state) == (7, "2024-08-31", "settled")
    assert await lines(ledger, "2024-09") == []


async def test_a_closed_month_is_byte_stable_and_later_settlements_are_dated_adjustments(
    ledger: Ledger,
) -> None:
    await spend(ledger, "s", on(8, 3))
    await lose(ledger, "u", on(8, 4))
    await lose(ledger, "v", on(8, 5), expected=30)
    assert [line.unknown for line in await lines(ledger, "2024-08")] == [0, 50, 30]
    closed = await close(ledger, "2024-08")
    assert (closed.cost, closed.unknown, closed.unknown_lines) == (100, 80, 2)
    before = await exported(ledger, "2024-08")
    await spend(ledger, "t", on(9, 2))
    await ledger.record(end("u/1", cost=41, ended_at=on(9, 10)))
    await ledger.record(end("v/1", AttemptState.RELEASED, 0, usage=None, ended_at=on(10, 3), images=0))
    assert await exported(ledger, "2024-08") == before
    _, adjusted = await lines(ledger, "2024-09")
    assert (adjusted.kind, adjusted.attempt_id, adjusted.line_id) == ("adjustment", "u/1", "u/1#adjustment")
    assert (adjusted.day, adjusted.cost, adjusted.unknown) == ("2024-09-10", 41, -50)
    assert adjusted.output_tokens == 7024
    assert "2024-08" in adjusted.note
    september = await exported(ledger, "2024-09")
    closed = await close(ledger, "2024-09")
    assert (closed.cost, closed.unknown, closed.lines, closed.attempts) == (141, -50, 2, 1)
    assert await exported(ledger, "2024-09") == september
    (released,) = await lines(ledger, "2024-10")
    assert (released.attempt_id, released.cost, released.unknown) == ("v/1", 0, -30)
    await close(ledger, "2024-10")
    assert await lines(ledger, "2024-11") == []
    assert await exported(ledger, "2024-08") == before


async def test_an_end_that_was_written_long_after_is_booked_in_the_first_open_month(ledger: Ledger) -> None:
    """It waited beside a database that was away, and is dated in a month that is closed by now."""
    await lose(ledger, "u", on(8, 4))
    await close(ledger, "2024-08")
    await close(ledger, "2024-09")
    await ledger.record(end("u/1", cost=41, ended_at=on(8, 4, 13)))
    (adjusted,) = await lines(ledger, "2024-10")
    assert (adjusted.day, adjusted.made_at) == ("2024-10-01", 1_722_776_400_000_000)
    await close(ledger, "2024-10")
    assert await lines(ledger, "2024-10") == [adjusted]
    assert await lines(ledger, "2024-11") == []


async def test_what_still_runs_at_the_close_is_unknown_in_it(ledger: Ledger) -> None:
    await ledger.record(request("r", received_at=on(8, 4)), sent("r", on(8, 4), hold_amount=70))
    closed = await close(ledger, "2024-08")
    assert (closed.cost, closed.unknown, closed.unknown_lines) == (0, 70, 1)
    await ledger.record(end("r/1", AttemptState.UNKNOWN, None, usage=None, ended_at=on(9, 1)))
    assert await lines(ledger, "2024-09") == []
    await ledger.record(end("r/1", cost=60, ended_at=on(9, 2)))
    (adjusted,) = await lines(ledger, "2024-09")
    assert (adjusted.cost, adjusted.unknown) == (60, -70)


async def test_a_cost_that_is_not_known_is_empty_and_never_zero(ledger: Ledger) -> None:
    await lose(ledger, "u", on(8, 4), expected=None)
    await spend(ledger, "unpriced", on(8, 5), cost=None)
    closed = await close(ledger, "2024-08")
    assert (closed.unknown, closed.unknown_lines) == (0, 2)
    assert [(line.cost, line.unknown) for line in await lines(ledger, "2024-08")] == [(None, None)] * 2
    assert ",,," in await exported(ledger, "2024-08")
    await ledger.record(end("u/1", cost=41, ended_at=on(9, 2)))
    (adjusted,) = await lines(ledger, "2024-09")
    assert (adjusted.cost, adjusted.unknown) == (41, 0)


async def test_an_attempt_that_reached_the_ledger_too_late_is_not_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGE_REQUESTS", 2)
    moments = [on(8, day) for day in (3, 4, 4, 4, 5, 6)]
    for number, moment in enumerate(moments):
        await spend(ledger, f"r{number}", moment)
    await close(ledger, "2024-08")
    before = await exported(ledger, "2024-08")
    await spend(ledger, "a-tie", on(8, 4))
    await spend(ledger, "z-tie", on(8, 4))
    await spend(ledger, "first", on(8, 1))
    await ledger.record(sent("r5", on(8, 6), 2))
    await ledger.record(end("r5/2", cost=9, ended_at=on(9, 6)))
    await lose(ledger, "last", on(8, 31))
    late = await lines(ledger, "2024-09")
    assert [line.attempt_id for line in late] == ["first/1", "a-tie/1", "z-tie/1", "r5/2", "last/1"]
    assert {line.kind for line in late} == {"late"}
    assert {line.day for line in late} == {"2024-09-01"}
    closed = await close(ledger, "2024-09")
    assert (closed.cost, closed.unknown, closed.attempts) == (309, 50, 0)
    assert await lines(ledger, "2024-09") == late
    assert await exported(ledger, "2024-08") == before
    await ledger.record(end("last/1", cost=40, ended_at=on(10, 2)))
    (adjusted,) = await lines(ledger, "2024-10")
    assert (adjusted.attempt_id, adjusted.cost, adjusted.unknown) == ("last/1", 40, -50)


async def test_the_snapshot_outlives_the_rows_and_the_names(ledger: Ledger) -> None:
    await spend(ledger, "s", on(8, 3), labels='{"team":"red"}', tags='{"run":"7"}')
    await close(ledger, "2024-08")
    before = await exported(ledger, "2024-08")
    assert "growth" in before
    assert "label.team,tag.run" in before
    await ledger._store.write(lambda c: c.execute(delete(attempts)))
    await ledger._store.write(lambda c: c.execute(delete(requests)))
    assert await exported(ledger, "2024-08", "Asia/Tokyo", Names({"proj_growth": "renamed"})) == before


async def test_a_new_zone_begins_where_the_last_closed_month_ends(ledger: Ledger) -> None:
    await spend(ledger, "august", datetime(2024, 8, 31, 21, 30, tzinfo=UTC))
    await spend(ledger, "september", datetime(2024, 8, 31, 22, 30, tzinfo=UTC))
    await close(ledger, "2024-08", "Europe/Vienna")
    found = await lines(ledger, "2024-09", "America/New_York")
    assert [line.attempt_id for line in found] == ["september/1"]
    closed = await close(ledger, "2024-09", "America/New_York")
    assert closed.attempts == 1


async def test_closing_again_changes_nothing_and_two_at_once_close_it_once(ledger: Ledger) -> None:
    await spend(ledger, "s", on(8, 3))
    one, other = closer(), closer()
    month = Month.parse("2024-08")
    while (await ledger.accounts.close(month, one, NAMES, seconds=0)) is None:
        if await ledger.accounts.close(month, other, NAMES, seconds=0):
            break
    first = await close(ledger, "2024-08")
    assert await close(ledger, "2024-08") == first
    kept = await ledger._store.read(lambda c: c.scalars(select(month_chunks.c.closing_id).distinct()).all())
    assert kept == [first.closing_id]
    assert (await ledger.accounts.book(closer().signing_key)).broken is None
    count = select(func.count()).select_from(closed_months)
    assert await ledger._store.read(lambda c: c.scalar(count)) == 1


async def test_an_unfinished_closing_leaves_nothing_behind(ledger: Ledger) -> None:
    await spend(ledger, "s", on(8, 3))
    month = Month.parse("2024-08")
    assert await ledger.accounts.close(month, closer(), NAMES, seconds=0) is None
    await spend(ledger, "t", on(8, 4))
    closed = await close(ledger, "2024-08")
    assert closed.attempts == 2
    kept = await ledger._store.read(lambda c: c.scalars(select(month_chunks.c.closing_id).distinct()).all())
    assert kept == [closed.closing_id]


async def test_months_are_closed_in_order_and_not_before_their_calls_have_ended(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        await close(ledger, "2024-08")
    await spend(ledger, "s", on(8, 3))
    for month, said in (
        ("2024-09", "2024-08 is open"),
        ("2024-07", "begins with 2024-08"),
        (f"{datetime.now(UTC):%Y-%m}", "can be closed from"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            await close(ledger, month)
    await close(ledger, "2024-08")
    with pytest.raises(InvalidRequest, match="accounts begin with 2024-08"):
        await close(ledger, "2024-07")


async def test_a_month_that_has_not_begun_is_not_exported(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="has not begun"):
        await ledger.accounts.head(Month.parse("8000-01"), "UTC", "acme")


@pytest.mark.parametrize("text", ["2024-13", "2024-00", "24-01", "2024-1", "now", "", "2024-011"])
def test_a_month_is_a_year_and_a_month(text: str) -> None:
    with pytest.raises(InvalidRequest, match="2026-11"):
        Month.parse(text)


async def test_an_altered_chunk_is_seen_by_its_digest(ledger: Ledger) -> None:
    await spend(ledger, "s", on(8, 3))
    await close(ledger, "2024-08")
    piece = await ledger.accounts.piece(Month.parse("2024-08"), Cursor(), "UTC", NAMES)
    other = select(month_chunks.c.body).where(month_chunks.c.number == 1)

    def swap(connection: Any) -> None:
        body = connection.scalar(other)
        connection.execute(update(month_chunks).where(month_chunks.c.number == 0).values(body=body))

    await ledger._store.write(swap)
    altered = await ledger.accounts.piece(Month.parse("2024-08"), Cursor(), "UTC", NAMES)
    assert altered.digest != piece.digest


async def test_replicas_can_close_together(postgres_database: str, tmp_path: Path) -> None:
    import asyncio

    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(3)]
    try:
        for number in range(30):
            await spend(replicas[0], f"r{number}", on(8, 1 + number % 28))
        closed = await asyncio.gather(*(close(replica, "2024-08") for replica in replicas))
        assert len({each.closing_id for each in closed}) == 1
        assert closed[0].attempts == 30
        assert len(await lines(replicas[1], "2024-08")) == 30
    finally:
        for replica in replicas:
            await replica.close()
