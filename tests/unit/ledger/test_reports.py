"""Sums must equal the rows; a day is the organisation's; what is not known is not 0."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.errors import InvalidRequest
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Usage
from gateway.ledger.reports import Dimension, UsageReport, UsageRow
from tests.unit.ledger.entries import NOON, attempt, end, request, request_end, spent

ALL = list(Dimension)


async def report(ledger: Ledger, *by: Dimension, zone: str = "UTC", **span: datetime | None) -> UsageReport:
    since, until = span.get("since"), span.get("until") or NOON + timedelta(days=400)
    return await ledger.usage(since=since, until=until, by=by, timezone=zone)


async def test_an_empty_ledger_has_an_empty_report(ledger: Ledger) -> None:
    for by in ([], ALL):
        found = await report(ledger, *by)
        assert found.rows == ()
        assert (found.total.requests, found.total.cost, found.total.unknown_cost) == (0, 0, 0)


async def test_a_request_that_failed_over_counts_once_and_costs_both_attempts(ledger: Ledger) -> None:
    await ledger.record(request("r"), attempt("r"))
    await ledger.record(end("r/1", cost=100, images=0), attempt("r", 2))
    await ledger.record(end("r/2", cost=11), request_end("r", images=1))
    (row,) = (await report(ledger)).rows
    assert row == UsageRow(None, None, None, 1, 1, 22, 14048, 111, 0, 0)  # type: ignore[arg-type]


async def test_unknown_costs_are_counted_and_never_zero(ledger: Ledger) -> None:
    await ledger.record(request("u", model="u"), attempt("u"), end("u/1", AttemptState.UNKNOWN, None))
    await ledger.record(request("s", model="s"), attempt("s"), end("s/1", cost=None))
    await ledger.record(request("d", model="d"), attempt("d"))
    await ledger.record(
        request("f", model="f"), attempt("f"), end("f/1", AttemptState.RELEASED, 0, usage=None)
    )
    await ledger.record(request("f2", model="f"), request_end("f2", 503, None, 0))
    rows = {row.model: row for row in (await report(ledger, Dimension.MODEL)).rows}
    assert {name: (row.cost, row.unknown_cost) for name, row in rows.items()} == {
        "u": (None, 1),
        "s": (None, 1),
        "d": (None, 1),
        "f": (0, 0),
    }
    assert (rows["f"].requests, rows["f"].failed) == (2, 1)
    total = (await report(ledger, Dimension.MODEL)).total
    assert (total.cost, total.unknown_cost, total.failed) == (0, 3, 1)
    only = await report(ledger, since=NOON, until=NOON + timedelta(microseconds=1))
    assert only.rows[0].cost is None or only.rows[0].unknown_cost == 3


async def test_a_total_of_nothing_known_is_unknown(ledger: Ledger) -> None:
    await ledger.record(request("u"), attempt("u"), end("u/1", AttemptState.UNKNOWN, None))
    assert (await report(ledger, *ALL)).total.cost is None
    assert (await report(ledger)).rows[0].cost is None


async def test_days_are_those_of_the_organisations_zone(ledger: Ledger) -> None:
    # 23:30 UTC on the 19th is 00:30 on the 20th in Vienna and 18:30 on the 19th in New York.
    moment = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)
    await ledger.record(request("r", received_at=moment))
    for zone, day in (("UTC", 19), ("Europe/Vienna", 20), ("America/New_York", 19)):
        (row,) = (await report(ledger, Dimension.DAY, zone=zone)).rows
        assert row.day == date(2026, 11, day)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
async def test_a_day_on_which_the_clocks_change_is_whole(ledger: Ledger, day: date, hours: int) -> None:
    zone = ZoneInfo("Europe/Vienna")
    first = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    for hour in range(-1, hours + 1):
        await ledger.record(request(f"r{hour}", received_at=first + timedelta(hours=hour)))
    rows = (await report(ledger, Dimension.DAY, zone="Europe/Vienna")).rows
    assert {row.day: row.requests for row in rows} == {
        day - timedelta(days=1): 1,
        day: hours,
        day + timedelta(days=1): 1,
    }


async def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(ledger: Ledger) -> None:
    for name, offset in (("before", -1), ("first", 0), ("last", 10), ("after", 11)):
        await ledger.record(request(name, received_at=NOON + timedelta(microseconds=offset)))
    found = await report(ledger, since=NOON, until=NOON + timedelta(microseconds=11))
    assert found.total.requests == 2
    nothing = await report(ledger, *ALL, since=NOON, until=NOON)
    assert nothing.total.requests == 0


async def test_a_report_by_day_over_all_of_history_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="at most"):
        await report(ledger, Dimension.DAY, since=datetime(1970, 1, 1, tzinfo=UTC))
    assert (await report(ledger, Dimension.KEY, since=datetime(1970, 1, 1, tzinfo=UTC))).rows == ()


@pytest.mark.parametrize("seed", range(3))
async def test_sums_equal_the_raw_rows_however_they_are_grouped(ledger: Ledger, seed: int) -> None:
    dice = random.Random(seed)
    expected: dict[tuple[date, str, str], list[int]] = defaultdict(lambda: [0] * 7)
    entries = []
    for number in range(120):
        received = NOON + timedelta(minutes=dice.randrange(0, 60 * 24 * 5))
        key, model, name = dice.choice("ab"), dice.choice("xyz"), f"r{number}"
        entries.append(request(name, received_at=received, key_id=key, model=model))
        sums = expected[received.astimezone(ZoneInfo("Asia/Kolkata")).date(), key, model]
        sums[0] += 1
        for ordinal in range(1, dice.randrange(1, 4)):
            entries.append(attempt(name, ordinal))
            state = dice.choice(list(AttemptState))
            cost = {
                AttemptState.SETTLED: dice.choice([None, dice.randrange(10**9)]),
                AttemptState.RELEASED: 0,
            }.get(state)
            sums[5] += state is not AttemptState.RELEASED and not (
                state is AttemptState.SETTLED and cost is not None
            )
            if state is AttemptState.DISPATCHED:
                continue
            into, out = dice.randrange(1000), dice.randrange(10_000)
            usage = Usage(input_tokens=into, output_tokens=out)
            entries.append(end(f"{name}/{ordinal}", state, cost, usage=usage))
            sums[2] += into
            sums[3] += out
            sums[4] += cost or 0
        if dice.random() < 0.9:
            status, images = dice.choice([(200, 1), (200, 4), (500, 0)])
            entries.append(request_end(name, status, 0, images))
            sums[1] += images
            sums[6] += status >= 400
    await ledger.record(*entries)

    def numbers(row: UsageRow) -> list[int]:
        known = [row.requests, row.images, row.input_tokens, row.output_tokens, row.cost or 0]
        return [*known, row.unknown_cost, row.failed]

    found = await report(ledger, *ALL, zone="Asia/Kolkata")
    assert {(row.day, row.key_id, row.model): numbers(row) for row in found.rows} == expected
    whole = [sum(column) for column in zip(*expected.values(), strict=True)]
    assert await spent(ledger) == whole[4]
    for by in ([], [Dimension.DAY], [Dimension.KEY, Dimension.MODEL], [Dimension.DAY, Dimension.MODEL]):
        grouped = await report(ledger, *by, zone="Asia/Kolkata")
        assert numbers(grouped.total) == whole
        assert list(grouped.rows) == sorted(
            grouped.rows, key=lambda row: (row.day or date.min, row.key_id or "", row.model or "")
        )
