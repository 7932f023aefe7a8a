"""What ended attempts count against limits, in numbers, from the rows and from the sums made ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.images.pricing import MOST_TOKENS
from gateway.ledger.counted import ROLLUP, Counted, Span, slots, used_tokens
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Usage
from gateway.ledger.rollups import roll_up
from gateway.ledger.tables import to_micros
from tests.unit.ledger.entries import NOON, attempt, end, request

SLOT = timedelta(minutes=12)
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""The first instant of a slot."""

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (Usage(total_tokens=7, input_tokens=1, output_tokens=2), 7),
        (Usage(input_tokens=3, output_tokens=4), 7),
        (Usage(input_tokens=3, output_tokens=0), 3),
        (Usage(total_tokens=0), 0),
        (Usage(input_tokens=3), None),
        (Usage(output_tokens=4), None),
        (Usage(), None),
        (Usage(total_tokens=MOST_TOKENS), MOST_TOKENS),
        (Usage(total_tokens=MOST_TOKENS + 1), None),
        (Usage(total_tokens=MOST_TOKENS + 1, input_tokens=3, output_tokens=4), 7),
        (Usage(input_tokens=MOST_TOKENS + 1, output_tokens=4), None),
    ],
)
async def test_tokens_that_were_used_are_the_same_before_and_in_the_ledger(
    ledger: Ledger, usage: Usage, tokens: int | None
) -> None:
    assert used_tokens(usage) == tokens
    await ledger.record(request("r"), replace(attempt("r"), hold_tokens=9000), end("r/1", usage=usage))
    found = await ledger.snapshot(["r/1"], None, [Span(START)])
    assert found.standings["r/1"].tokens == tokens
    assert [each.tokens for each in found.sums[0]] == [9000 if tokens is None else tokens]


async def sums(ledger: Ledger, span: Span, before: datetime | None = None) -> list[Counted]:
    return list((await ledger.snapshot([], before, [span])).sums[0])


async def rolled_up(ledger: Ledger) -> None:
    later = to_micros(NOON + timedelta(days=400))
    assert await ledger._store.write(lambda connection: roll_up(connection, ROLLUP, later)) is False


@pytest.mark.parametrize("ahead", [False, True])
async def test_each_state_counts_what_it_is_said_to(ledger: Ledger, ahead: bool) -> None:
    for number in range(6):
        held = replace(attempt(f"r{number}"), hold_amount=500, hold_tokens=90)
        await ledger.record(request(f"r{number}", n=3, end_user=None), held)
    none = Usage()
    await ledger.record(end("r0/1", cost=7, usage=Usage(total_tokens=11)))
    await ledger.record(end("r1/1", cost=None, usage=none))
    await ledger.record(end("r2/1", AttemptState.RELEASED, 0, usage=none))
    await ledger.record(end("r3/1", AttemptState.RELEASED, 0, usage=none, sent=False))
    await ledger.record(end("r4/1", AttemptState.UNKNOWN, None, usage=none))
    await ledger.record(request("r6", n=2), attempt("r6"), end("r6/1", cost=None, usage=none))
    if ahead:
        await rolled_up(ledger)
    # Charged, charged at the hold, released after it was sent, and one that held nothing known.
    expected = Counted(0, "proj_growth", "key_1", "", "gpt-image-2", 507, 101, 4, 11)
    assert await sums(ledger, Span(START - timedelta(days=1))) == [expected]


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_window_counts_from_its_first_instant_to_the_last_before_its_end(
    ledger: Ledger, ahead: bool
) -> None:
    moments = [START - TICK, START, START + SLOT - TICK, START + SLOT, START + 2 * SLOT, START + 3 * SLOT]
    for number, moment in enumerate(moments):
        begun = replace(attempt(f"r{number}"), admitted_at=moment)
        await ledger.record(
            request(f"r{number}", received_at=moment), begun, end(f"r{number}/1", cost=10**number)
        )
    if ahead:
        await rolled_up(ledger)

    async def spent(start: datetime, until: datetime | None, before: datetime | None = None) -> int:
        return sum(each.spend for each in await sums(ledger, Span(start, until), before))

    assert await spent(START, None) == 111_110
    assert await spent(START, START + SLOT) == 110
    assert await spent(START, START + SLOT - TICK) == 10
    assert await spent(START + TICK, START + SLOT + TICK) == 1_100
    assert await spent(START - TICK, START + 3 * SLOT) == 11_111
    assert await spent(START, START + 3 * SLOT, START + SLOT) == 110
    assert await spent(START, START + SLOT, START + 3 * SLOT) == 110
    assert await spent(START, START) == 0
    assert await spent(START + SLOT, START) == 0


@pytest.mark.parametrize("ahead", [False, True])
async def test_buckets_are_numbered_from_1970(ledger: Ledger, ahead: bool) -> None:
    moments = [START, START + 2 * SLOT - TICK, START + 2 * SLOT, START + 4 * SLOT]
    for number, moment in enumerate(moments):
        begun = replace(attempt(f"r{number}"), admitted_at=moment)
        await ledger.record(
            request(f"r{number}", received_at=moment), begun, end(f"r{number}/1", cost=10**number)
        )
    if ahead:
        await rolled_up(ledger)
    for minutes, expected in ((24, {0: 11, 1: 100, 2: 1000}), (1, {0: 1, 23: 10, 24: 100, 48: 1000})):
        found = await sums(ledger, Span(START - timedelta(days=1), None, minutes * 60_000))
        first = to_micros(START) // (minutes * 60_000_000)
        assert {each.bucket - first: each.spend for each in found} == expected


def test_an_instant_lies_in_one_slot() -> None:
    number = to_micros(START) // (12 * 60_000_000)
    assert slots([START - TICK, START, START + SLOT - TICK]) == {(ROLLUP, number - 1), (ROLLUP, number)}


async def test_a_view_before_a_moment_has_nothing_from_that_moment_on(ledger: Ledger) -> None:
    for number, moment in enumerate((START - TICK, START)):
        for state in ("ended", "running"):
            name = f"{state}{number}"
            begun = replace(attempt(name), admitted_at=moment, hold_amount=5, hold_tokens=6, hold="[]")
            asked = request(name, received_at=moment, n=2, end_user="anna" if number else None)
            await ledger.record(asked, begun)
        await ledger.record(end(f"ended{number}/1", cost=7))
    found = await ledger.snapshot(["ended0/1", "ended1/1", "nobody/1"], START, [Span(START - SLOT)])
    assert {rid: (x.state, x.cost, x.tokens) for rid, x in found.standings.items()} == {
        "ended0/1": (AttemptState.SETTLED, 7, 7035),
        "ended1/1": (AttemptState.SETTLED, 7, 7035),
    }
    (running,) = found.open
    assert (running.attempt_id, running.state, running.admitted_at) == (
        "running0/1",
        AttemptState.DISPATCHED,
        START - TICK,
    )
    assert (running.hold, running.hold_amount, running.hold_tokens) == ("[]", 5, 6)
    assert (running.project_id, running.key_id, running.model) == ("proj_growth", "key_1", "gpt-image-2")
    assert (running.requests, running.images, running.end_user_digest) == (1, 2, "")
    assert [each.spend for each in found.sums[0]] == [7]
    everything = await ledger.snapshot([], None, [Span(START - SLOT)])
    assert sorted(each.attempt_id for each in everything.open) == ["running0/1", "running1/1"]
    assert {bool(each.end_user_digest) for each in everything.open} == {False, True}
    assert sorted(each.spend for each in everything.sums[0]) == [7, 7]
