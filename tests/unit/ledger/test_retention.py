"""What was kept for long enough goes, and nothing that was spent is forgotten with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.errors import InvalidRequest
from gateway.ledger import retention
from gateway.ledger.accounts.model_names import ModelNames
from gateway.ledger.accounts.reconciliation import Tolerance
from gateway.ledger.counted import Span
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState
from gateway.ledger.reports import Dimension, UsageReport
from gateway.ledger.request_records import Filter
from gateway.ledger.retention import Retained, Wait
from gateway.ledger.rollups import MOST_RAW_SPANS
from gateway.ledger.tables import attempts, from_micros, requests
from tests.unit.accounts.books import ZONE, close, exported, on
from tests.unit.ledger.entries import attempt, end, request, request_end
from tests.unit.ledger.test_rollups import rolled_up

NOW = on(12, 15)
QUARTER = timedelta(days=90)
MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")


async def call(ledger: Ledger, request_id: str, at: datetime, cost: int | None, **asked: Any) -> None:
    """A call at ``at``; ``cost`` None: nobody knows how it ended."""
    begun = replace(attempt(request_id), dispatched_at=at)
    await ledger.record(request(request_id, received_at=at, **asked), begun)
    ended = {"ended_at": at + timedelta(minutes=1)}
    if cost is None:
        await ledger.record(end(f"{request_id}/1", AttemptState.UNKNOWN, None, **ended))
    else:
        done = replace(request_end(request_id, cost=cost), **ended)
        await ledger.record(end(f"{request_id}/1", cost=cost, **ended), done)


async def four_months(ledger: Ledger) -> None:
    """Calls at the ends of months and in the middle, of two keys; one was refused and cost nothing."""
    for month in (1, 2, 3, 4):
        for day, hour in ((1, 0), (10, 12), (28, 23)):
            name = f"r{month}-{day}"
            await call(ledger, name, on(month, day, hour), month * 1000 + day, key_id=f"key_{day % 2}")
        refused = f"refused{month}"
        await ledger.record(request(refused, received_at=on(month, 15)))
        await ledger.record(replace(request_end(refused, 429, None, 0), ended_at=on(month, 15)))


async def run(ledger: Ledger, *, log: timedelta = QUARTER, rows: timedelta = QUARTER) -> Retained:
    return await ledger.retention.run(NOW, log=log, rows=rows)


async def counts(ledger: Ledger) -> tuple[int, int]:
    """Rows of requests and of attempts."""

    def work(connection: Any) -> tuple[int, int]:
        return tuple(connection.scalar(select(func.count()).select_from(t)) for t in (requests, attempts))  # type: ignore[return-value]

    return await ledger._store.read(work)


async def told(ledger: Ledger) -> tuple[list[UsageReport], list[Any]]:
    """Everything that reports and limits ask of the past."""
    reports = [
        await ledger.usage(since=since, until=NOW, by=by, timezone=ZONE)
        for since in (on(1, 1, 0), on(2, 1, 0), from_micros(0))
        for by in (tuple(Dimension), (Dimension.MODEL,), ())
        if since > from_micros(0) or Dimension.DAY not in by
    ]
    day_ms = 86_400_000
    spans = [
        Span(from_micros(0)),
        Span(on(1, 1, 0)),
        Span(on(2, 1, 0), on(3, 1, 0)),
        Span(on(1, 1, 0), None, 6 * day_ms),
    ]
    sums = (await ledger.snapshot([], None, spans)).sums
    return reports, [sorted(map(repr, each)) for each in sums]


async def test_rows_go_with_their_month_and_the_next_closed_and_every_sum_stays(ledger: Ledger) -> None:
    await four_months(ledger)
    await rolled_up(ledger)
    months = [await close(ledger, month) for month in MONTHS[:3]]
    before, books = await told(ledger), [await exported(ledger, month) for month in MONTHS]
    assert await counts(ledger) == (16, 12)

    done = await run(ledger)
    # March was closed last and stays whole; April is open.
    assert done == Retained(done.cleared, 8, 6, datetime(2024, 2, 29, 23, tzinfo=UTC), Wait.MONTH)
    assert await counts(ledger) == (8, 6)
    assert await told(ledger) == before
    assert [await exported(ledger, month) for month in MONTHS] == books
    assert await run(ledger) == Retained(0, 0, 0, done.rows_from, Wait.MONTH), "once is enough"

    assert (await close(ledger, "2024-04")).attempts == months[0].attempts
    assert (await run(ledger)).requests == 4
    assert await told(ledger) == before
    assert [await exported(ledger, month) for month in MONTHS[:3]] == books[:3]


async def test_no_month_closed_no_row_removed(ledger: Ledger) -> None:
    await four_months(ledger)
    await rolled_up(ledger)
    assert (await run(ledger)).waits is Wait.MONTH
    await close(ledger, "2024-01")
    assert (await run(ledger)).requests == 0
    assert await counts(ledger) == (16, 12)


async def test_rows_that_are_young_enough_stay_and_nothing_waits(ledger: Ledger) -> None:
    await four_months(ledger)
    await rolled_up(ledger)
    for month in MONTHS:
        await close(ledger, month)
    assert await run(ledger, rows=timedelta(days=400)) == Retained(0, 0, 0, None, None)
    assert await counts(ledger) == (16, 12)
    done = await run(ledger, rows=NOW - on(1, 20))
    assert (done.requests, done.waits, done.rows_from) == (3, None, on(1, 20))


async def test_a_call_without_a_known_end_keeps_its_rows_until_its_adjustment_is_in_a_closed_month(
    ledger: Ledger,
) -> None:
    await four_months(ledger)
    await call(ledger, "lost", on(1, 20), None)
    await rolled_up(ledger)
    for month in MONTHS[:3]:
        await close(ledger, month)
    done = await run(ledger)
    assert (done.requests, done.waits, done.rows_from) == (3, Wait.OPEN, on(1, 19))
    # Its end is of a day in April, and April is open.
    await ledger.record(end("lost/1", cost=77, ended_at=on(4, 20)))
    before, april = await told(ledger), await exported(ledger, "2024-04")
    assert "lost/1" in april
    assert (await run(ledger)).waits is Wait.CARRIED
    assert await exported(ledger, "2024-04") == april
    await close(ledger, "2024-04")
    assert (await run(ledger)).waits is Wait.SUMS, "the late end has changed a slot"
    await rolled_up(ledger)
    assert (await run(ledger)).waits is Wait.MONTH
    assert await counts(ledger) == (4, 3)
    assert await told(ledger) == before
    assert await exported(ledger, "2024-04") == april


async def test_rows_stay_until_their_sums_are_made(ledger: Ledger) -> None:
    await four_months(ledger)
    for month in MONTHS:
        await close(ledger, month)
    done = await run(ledger)
    assert (done.requests, done.waits) == (0, Wait.SUMS)
    await rolled_up(ledger)
    assert (await run(ledger)).requests == 12


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_reports_and_limits_say_is_right_while_rows_are_half_gone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await four_months(ledger)
    await rolled_up(ledger)
    for month in MONTHS:
        await close(ledger, month)
    before = await told(ledger)
    monkeypatch.setattr(retention, "TOGETHER", 2)
    left: list[int] = []

    async def look(seconds: float) -> None:
        left.append((await counts(ledger))[0])
        assert await told(ledger) == before

    monkeypatch.setattr(retention, "sleep", look)
    done = await run(ledger)
    assert (done.cleared, done.requests, done.attempts) == (0, 12, 9)
    assert left == [14, 12, 10, 8, 6, 4]


async def test_an_end_that_comes_once_more_changes_no_sum_whose_rows_may_be_gone(ledger: Ledger) -> None:
    """From a data folder that was put back after months, say. The call was received before the first row that
    is left, and its second attempt was admitted after."""
    await four_months(ledger)
    begin = datetime(2024, 2, 29, 23, tzinfo=UTC)
    await call(ledger, "across", begin - timedelta(minutes=1), 5)
    later = replace(attempt("across", 2), dispatched_at=begin + timedelta(minutes=1))
    await ledger.record(later, end("across/2", cost=7, ended_at=begin + timedelta(minutes=2)))
    await call(ledger, "beside", begin + timedelta(minutes=2), 11)
    await rolled_up(ledger)
    for month in MONTHS[:3]:
        await close(ledger, month)
    before = await told(ledger)
    assert (await run(ledger)).rows_from == begin
    await ledger.record(end("beside/1", cost=11, ended_at=begin + timedelta(minutes=3)))
    assert await told(ledger) == before
    await rolled_up(ledger)
    assert await told(ledger) == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_was_spent_is_not_handed_back_where_rows_would_be_read_in_one_piece(
    ledger: Ledger,
) -> None:
    """So many slots have changed that the rollup is passed over."""
    await four_months(ledger)
    await rolled_up(ledger)
    for month in MONTHS:
        await close(ledger, month)
    assert (await run(ledger)).requests == 12
    for number in range(MOST_RAW_SPANS + 1):
        await call(ledger, f"new{number}", on(8, 1) + number * timedelta(hours=2), 1)
    (total,) = (await ledger.snapshot([], None, [Span(from_micros(0))])).sums
    of_months = sum(month * 1000 * 3 + 39 for month in (1, 2, 3, 4))
    assert sum(each.spend for each in total) == of_months + MOST_RAW_SPANS + 1
    # In a zone that begins its days within a slot, a window has all of its first one, and never less.
    (year,) = (await ledger.snapshot([], None, [Span(on(1, 1, 0) + timedelta(minutes=1))])).sums
    assert sum(each.spend for each in year) == of_months + MOST_RAW_SPANS + 1


async def test_the_log_tells_of_no_request_that_is_old_and_its_row_forgets_who_it_was_for(
    ledger: Ledger,
) -> None:
    named = {"end_user": "anna", "client_request_id": "mine", "key_id": "k"}
    for name, at in (("old", NOW - timedelta(days=31)), ("new", NOW - timedelta(days=29))):
        await call(ledger, name, at, 5, **named)
    month = timedelta(days=30)
    done = await run(ledger, log=month, rows=timedelta(days=400))
    assert (done.cleared, done.requests, done.waits) == (1, 0, None)
    assert await ledger.requests.get("old", "k") is None
    listed = await ledger.requests.list("k", Filter())
    assert listed is not None
    assert [each.request["request_id"] for each in listed[0]] == ["new"]
    rows = await ledger._store.read(lambda c: c.execute(select(requests)).all())
    kept = {row.request_id: (row.end_user, row.client_request_id, row.cost) for row in rows}
    assert kept == {"old": (None, None, 5), "new": ("anna", "mine", 5)}
    digests = {row.end_user_digest for row in rows}
    assert len(digests) == 1
    assert None not in digests, "limits count by it"
    assert (await run(ledger, log=month, rows=timedelta(days=400))).cleared == 0


async def test_a_bill_of_days_whose_rows_are_gone_is_not_compared(ledger: Ledger) -> None:
    await four_months(ledger)
    await rolled_up(ledger)
    for month in MONTHS:
        await close(ledger, month)
    done = await run(ledger)
    assert done.rows_from is not None

    async def compare(*days: date) -> Sequence[object]:
        names = ModelNames(lambda model: model, lambda _: True)
        return await ledger.accounts.compare("openai", days, {}, Tolerance(), names, days)

    with pytest.raises(InvalidRequest, match="were removed"):
        await compare(date(2024, 3, 31), date(2024, 4, 10))
    assert len(await compare(date(2024, 4, 10))) == 1


async def test_replicas_that_remove_at_once_remove_each_row_once(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "TOGETHER", 2)
    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(3)]
    try:
        await four_months(replicas[0])
        await rolled_up(replicas[0])
        for month in MONTHS:
            await close(replicas[0], month)
        done = await asyncio.gather(*(run(each) for each in replicas))
        if sum(each.requests for each in done) < 12:  # one that was turned away leaves it to the next turn
            done += [await run(replicas[0])]
        assert sum(each.requests for each in done) == 12
        assert sum(each.attempts for each in done) == 9
        assert await counts(replicas[0]) == (4, 3)
    finally:
        for each in replicas:
            await each.close()
