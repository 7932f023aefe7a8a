"""What nobody knows the end of: seen, counted, and resolved by policy without a second charge."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Charge
from gateway.ledger.unknowns import Resolved, UnknownPolicy
from tests.unit.ledger.entries import attempt, end, request, stored_attempts

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


async def started(ledger: Ledger, name: str, age: timedelta, **facts: Any) -> None:
    intent = replace(attempt(name), admitted_at=NOW - age, **facts)
    await ledger.record(request(name, received_at=NOW - age), intent)


async def unknown(ledger: Ledger, name: str, age: timedelta, **facts: Any) -> None:
    await started(ledger, name, age, **facts)
    await ledger.record(end(f"{name}/1", AttemptState.UNKNOWN, None, usage=None, charge=None))


async def states(ledger: Ledger) -> dict[str, str]:
    return {rid: row.state for rid, row in (await stored_attempts(ledger)).items()}


async def test_a_lapsed_lease_makes_a_running_attempt_unknown_and_no_other(ledger: Ledger) -> None:
    for name in ("running", "settled", "other"):
        await started(ledger, name, DAY)
    await ledger.record(end("settled/1"))
    for _ in range(2):
        stand = await ledger.lapse(["running/1", "settled/1", "nobody/1"])
        assert {rid: each.state for rid, each in stand.items()} == {
            "running/1": AttemptState.UNKNOWN,
            "settled/1": AttemptState.SETTLED,
        }
    assert await ledger.lapse([]) == {}
    assert await states(ledger) == {"running/1": "unknown", "settled/1": "settled", "other/1": "dispatched"}
    row = (await stored_attempts(ledger))["running/1"]
    assert (row.error_code, row.ended_at is not None) == ("lease_lapsed", True)


async def test_an_attempt_that_was_never_sent_is_told_as_such(ledger: Ledger) -> None:
    for name in ("sent", "unsent"):
        await started(ledger, name, DAY)
        await ledger.record(attempt(name, 2))
    await ledger.lapse(["unsent/1"])
    for name in ("sent/1", "sent/2"):
        await ledger.record(end(name, AttemptState.RELEASED, 0))
    await ledger.record(replace(end("unsent/1", AttemptState.RELEASED, 0), sent=False))
    stand = await ledger.lapse(["sent/1", "sent/2", "unsent/1", "unsent/2"])
    assert {rid for rid, each in stand.items() if not each.sent} == {"unsent/1"}


async def test_f27_a_replica_that_stalled_past_its_lease_settles_exactly(ledger: Ledger) -> None:
    await started(ledger, "r", DAY, hold_amount=9)
    await ledger.lapse(["r/1"])
    await ledger.record(end("r/1", cost=7))
    row = (await stored_attempts(ledger))["r/1"]
    assert (row.state, row.cost, row.error_code) == ("settled", 7, None)


async def test_f65_two_replicas_that_find_the_same_lease_agree(
    postgres_database: str, tmp_path: Path
) -> None:
    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(2)]
    try:
        for number in range(20):
            await started(replicas[0], f"r{number}", DAY)
        ids = [f"r{number}/1" for number in range(20)]
        for stand in await asyncio.gather(*(replica.lapse(ids) for replica in replicas)):
            assert {rid: each.state for rid, each in stand.items()} == dict.fromkeys(
                ids, AttemptState.UNKNOWN
            )
    finally:
        for replica in replicas:
            await replica.close()


async def test_old_unknowns_are_charged_what_was_expected_and_say_so(ledger: Ledger) -> None:
    await unknown(ledger, "expected", 2 * DAY, expected=5, hold_amount=9)
    await unknown(ledger, "held", 2 * DAY, hold_amount=9)
    await unknown(ledger, "unpriced", 2 * DAY)
    await unknown(ledger, "young", timedelta(hours=1), expected=5)
    await started(ledger, "lost", 2 * DAY, expected=3)
    resolved = await ledger.resolve_unknown(DAY, UnknownPolicy.CHARGE_EXPECTED)
    assert set(resolved) == {Resolved("expected/1", 5), Resolved("held/1", 9), Resolved("lost/1", 3)}  # type: ignore[arg-type]
    rows = await stored_attempts(ledger)
    assert {rid: (row.state, row.cost, row.flags) for rid, row in rows.items()} == {
        "expected/1": ("settled", 5, "estimated"),
        "held/1": ("settled", 9, "estimated"),
        "lost/1": ("settled", 3, "estimated"),
        "unpriced/1": ("unknown", None, None),
        "young/1": ("unknown", None, None),
    }
    assert rows["expected/1"].ended_at >= NOW
    assert await ledger.resolve_unknown(DAY, UnknownPolicy.CHARGE_EXPECTED) == []
    report = await ledger.usage(since=None, until=NOW + DAY, by=[], timezone="UTC")
    assert (report.total.cost, report.total.unknown_cost) == (17, 2)


async def test_flags_that_stand_are_kept(ledger: Ledger) -> None:
    await started(ledger, "r", 2 * DAY, expected=5)
    await ledger.record(end("r/1", AttemptState.UNKNOWN, charge=Charge(None, ("usage_missing",), "v")))
    await ledger.resolve_unknown(DAY, UnknownPolicy.CHARGE_EXPECTED)
    assert (await stored_attempts(ledger))["r/1"].flags == "usage_missing,estimated"


@pytest.mark.parametrize(
    ("policy", "state", "cost"),
    [(UnknownPolicy.RELEASE, "released", 0), (UnknownPolicy.KEEP, "unknown", None)],
)
async def test_other_policies_release_or_keep(
    ledger: Ledger, policy: UnknownPolicy, state: str, cost: int | None
) -> None:
    await unknown(ledger, "r", 2 * DAY, expected=5)
    resolved = await ledger.resolve_unknown(DAY, policy)
    assert len(resolved) == (policy is UnknownPolicy.RELEASE)
    row = (await stored_attempts(ledger))["r/1"]
    assert (row.state, row.cost) == (state, cost)


async def test_a_late_answer_after_the_policy_changes_nothing(ledger: Ledger) -> None:
    await unknown(ledger, "r", 2 * DAY, expected=5)
    await ledger.resolve_unknown(DAY, UnknownPolicy.CHARGE_EXPECTED)
    await ledger.record(end("r/1", cost=7))
    assert (await stored_attempts(ledger))["r/1"].cost == 5


async def test_more_than_one_batch_is_resolved(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.ledger import ledger as ledgers
    from gateway.ledger import unknowns

    monkeypatch.setattr(unknowns, "TOGETHER", 4)
    monkeypatch.setattr(ledgers, "TOGETHER", 4)
    for number in range(9):
        await unknown(ledger, f"r{number}", 2 * DAY, expected=1)
    assert len(await ledger.resolve_unknown(DAY, UnknownPolicy.CHARGE_EXPECTED)) == 9


async def test_what_was_never_sent_counts_as_nothing(ledger: Ledger) -> None:
    await started(ledger, "r", DAY, hold_amount=9)
    await ledger.record(end("r/1", AttemptState.RELEASED, 0, usage=None, sent=False))
    await ledger.record(end("never/1", AttemptState.RELEASED, 0, usage=None, sent=False))
    row = (await stored_attempts(ledger))["r/1"]
    assert (row.state, row.counted_requests, row.counted_images) == ("released", 0, 0)
    with pytest.raises(ValueError, match="never sent"):
        await ledger.record(end("r/1", AttemptState.SETTLED, 1, sent=False))
