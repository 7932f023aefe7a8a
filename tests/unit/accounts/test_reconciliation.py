"""The ledger beside a bill: what differs is listed, and only what the bill explains is resolved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import load_catalog
from config.catalog_settings import CatalogSettings
from config.own_catalog import read_catalog
from gateway.ledger.accounts.model_names import BY_DAY, names_in
from gateway.ledger.accounts.reconciliation import (
    Comparison,
    Doubtful,
    Ours,
    Tolerance,
    Verdict,
    judge,
    share_out,
)
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, NanoDollars
from tests.unit.accounts.books import KEY, close, lines
from tests.unit.ledger.entries import attempt, end, request, stored_attempts

DAY = date(2024, 8, 5)
NOON = datetime(2024, 8, 5, 12, tzinfo=UTC)
CENT = 10_000_000
BY_MODEL = names_in(load_catalog())


def ours(settled: int, *doubtful: tuple[int | None, int | None], running: int = 0, unpriced: int = 0) -> Ours:
    def money(amount: int | None) -> NanoDollars | None:
        return None if amount is None else NanoDollars(amount)

    found = [Doubtful(f"u{at}", money(expected), money(held)) for at, (expected, held) in enumerate(doubtful)]
    return Ours(settled, running, unpriced, found)


@pytest.mark.parametrize(
    ("ledger_has", "theirs", "verdict", "costs"),
    [
        (ours(100 * CENT), 100 * CENT, Verdict.AGREES, []),
        (ours(100 * CENT), 101 * CENT, Verdict.AGREES, []),
        (ours(100 * CENT), 102 * CENT, Verdict.DIFFERS, []),
        (ours(100 * CENT), 90 * CENT, Verdict.DIFFERS, []),
        (ours(1000 * CENT), 1005 * CENT, Verdict.AGREES, []),
        # Nothing was charged for it; exactly what was expected; some of it; more, up to what was held.
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 100 * CENT, Verdict.EXPLAINED, [None]),
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 121 * CENT, Verdict.EXPLAINED, [21 * CENT]),
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 110 * CENT, Verdict.EXPLAINED, [10 * CENT]),
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 124 * CENT, Verdict.EXPLAINED, [24 * CENT]),
        (ours(0, (20 * CENT, None), (10 * CENT, None)), 15 * CENT, Verdict.EXPLAINED, [10 * CENT, 5 * CENT]),
        (ours(0, (None, 20 * CENT), (10 * CENT, None)), 30 * CENT, Verdict.EXPLAINED, [20 * CENT, 10 * CENT]),
        # Less than ours, more than they held, and what nobody can tell.
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 80 * CENT, Verdict.DIFFERS, []),
        (ours(100 * CENT, (21 * CENT, 25 * CENT)), 150 * CENT, Verdict.DIFFERS, []),
        (ours(100 * CENT, (None, None)), 121 * CENT, Verdict.DIFFERS, []),
        (ours(100 * CENT, (None, None)), 100 * CENT, Verdict.EXPLAINED, [None]),
        # Smaller than the tolerance: the nearer is believed.
        (ours(0, (CENT // 2, CENT)), CENT // 2, Verdict.EXPLAINED, [CENT // 2]),
        (ours(0, (CENT // 2, CENT)), CENT // 8, Verdict.EXPLAINED, [None]),
        (ours(100 * CENT, (CENT, CENT), running=1), 101 * CENT, Verdict.RUNNING, []),
        (ours(100 * CENT, (CENT, CENT), unpriced=1), 101 * CENT, Verdict.UNPRICED, []),
        (ours(100 * CENT, running=1), 100 * CENT, Verdict.AGREES, []),
    ],
)
def test_what_a_difference_says_of_unknown_attempts(
    ledger_has: Ours, theirs: int, verdict: Verdict, costs: list[int | None]
) -> None:
    found = judge(DAY, "m", ledger_has, theirs, Tolerance())
    assert (found.verdict, list(found.resolution.values())) == (verdict, costs)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=30), st.data())
def test_an_amount_is_shared_out_to_the_last_nano_dollar(weights: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    shares = share_out(amount, weights)
    assert sum(shares) == amount
    assert all(0 <= share <= weight for share, weight in zip(shares, weights, strict=True))


async def call(
    ledger: Ledger, name: str, cost: int | None, *, model: str = "gpt-image-2", moment: datetime = NOON
) -> None:
    """``cost`` None: it ended unknown, and was expected to cost 21 cents."""
    sent = replace(
        attempt(name),
        dispatched_at=moment,
        upstream_model=model,
        expected=NanoDollars(21 * CENT),
        hold_amount=NanoDollars(25 * CENT),
    )
    await ledger.record(request(name, received_at=moment - timedelta(seconds=3)), sent)
    state = AttemptState.SETTLED if cost is not None else AttemptState.UNKNOWN
    await ledger.record(end(f"{name}/1", state, cost, usage=None, ended_at=moment))


async def compared(
    ledger: Ledger,
    theirs: dict[tuple[date, str], int],
    *,
    resolve: bool = False,
    by_model: bool = True,
    billed: list[date] | None = None,
) -> list[Comparison]:
    days, names = [DAY, DAY + timedelta(days=1)], BY_MODEL if by_model else BY_DAY
    billed = days if billed is None else billed
    if not resolve:
        return list(await ledger.accounts.compare("openai", days, theirs, Tolerance(), names, billed))
    return list(
        await ledger.accounts.reconcile(
            "openai",
            days,
            theirs,
            Tolerance(),
            names,
            billed,
            source="costs.json",
            entered_by="anna",
            signing_key=KEY,
        )
    )


async def test_days_are_those_of_utc_on_which_calls_were_sent(ledger: Ledger) -> None:
    midnight = datetime(2024, 8, 6, tzinfo=UTC)
    await call(ledger, "a", 10 * CENT, moment=midnight - timedelta(seconds=1))
    await call(ledger, "b", 20 * CENT, moment=midnight)  # received before midnight, sent at it
    await call(ledger, "c", 40 * CENT, moment=midnight + timedelta(days=1))
    found = await compared(ledger, {})
    assert [(each.day.day, each.ours, each.theirs) for each in found] == [
        (5, 10 * CENT, 0),
        (6, 20 * CENT, 0),
    ]


async def test_a_dated_name_is_its_model_and_what_is_no_picture_is_left_out(ledger: Ledger) -> None:
    await call(ledger, "a", 10 * CENT)
    dated = {(DAY, "gpt-image-2-2026-04-21"): 6 * CENT, (DAY, "gpt-image-2"): 4 * CENT}
    other = {(DAY, "gpt-6-astra"): 900 * CENT, (DAY, "gpt-image-1-mini"): 30 * CENT}
    found = await compared(ledger, dated | other)
    assert [(each.model, each.ours, each.theirs, each.verdict) for each in found] == [
        ("gpt-image-1-mini", 0, 30 * CENT, Verdict.DIFFERS),
        ("gpt-image-2", 10 * CENT, 10 * CENT, Verdict.AGREES),
    ]


def test_models_that_the_operator_describes_are_known_by_all_their_names() -> None:
    own = CatalogSettings.model_validate({"id": "gpt-image-9", "aliases": ["gpt-image-9-2027-01-01"]})
    names = names_in(read_catalog([own])[0])
    assert names.one("gpt-image-9-2027-01-01") == "gpt-image-9"
    assert names.is_known("gpt-image-9")
    assert not names.is_known("gpt-6-astra")


async def test_a_bill_without_models_is_compared_by_day(ledger: Ledger) -> None:
    await call(ledger, "a", 10 * CENT)
    await call(ledger, "b", 20 * CENT, model="gpt-image-2.5-sunburst")
    (found,) = await compared(ledger, {(DAY, "*"): 30 * CENT}, by_model=False)
    assert (found.model, found.delta, found.verdict) == ("*", 0, Verdict.AGREES)


async def test_other_providers_calls_are_not_compared(ledger: Ledger) -> None:
    await call(ledger, "a", 10 * CENT)
    days = [DAY]
    assert await ledger.accounts.compare("azure", days, {}, Tolerance(), BY_MODEL, days) == []


async def test_what_the_bill_explains_is_settled_flagged_and_journalled(ledger: Ledger) -> None:
    await call(ledger, "s", 100 * CENT)
    await call(ledger, "u", None)
    await call(ledger, "v", None)
    await call(ledger, "w", None, model="gpt-image-2.5-sunburst")
    bill = {(DAY, "gpt-image-2"): 142 * CENT}
    before = await compared(ledger, bill)
    assert [each.verdict for each in before] == [Verdict.EXPLAINED] * 2
    assert {row.state for row in (await stored_attempts(ledger)).values()} == {"settled", "unknown"}
    found = await compared(ledger, bill, resolve=True)
    assert [(each.verdict, each.delta) for each in found] == [(Verdict.RESOLVED, 0)] * 2
    rows = await stored_attempts(ledger)
    assert {name: (row.state, row.cost, row.flags) for name, row in rows.items()} == {
        "s/1": ("settled", 100 * CENT, None),
        "u/1": ("settled", 21 * CENT, "reconciled"),
        "v/1": ("settled", 21 * CENT, "reconciled"),
        "w/1": ("released", 0, "reconciled"),
    }
    book = await ledger.accounts.book(KEY)
    assert [(entry.action, entry.entered_by) for entry in book.entries] == [("reconcile", "anna")] * 2
    assert book.entries[0].body["attempts"] == {"u/1": 21 * CENT, "v/1": 21 * CENT}
    assert book.broken is None
    assert [each.verdict for each in await compared(ledger, bill, resolve=True)] == [Verdict.AGREES] * 2
    report = await ledger.usage(since=None, until=NOON + timedelta(days=9), by=[], timezone="UTC")
    assert (report.total.cost, report.total.unknown_cost) == (142 * CENT, 0)


async def test_what_is_resolved_after_the_close_is_an_adjustment_of_the_month_of_today(
    ledger: Ledger,
) -> None:
    await call(ledger, "u", None)
    await close(ledger, "2024-08")
    before = await lines(ledger, "2024-08")
    await compared(ledger, {(DAY, "gpt-image-2"): 21 * CENT}, resolve=True)
    assert await lines(ledger, "2024-08") == before
    today = f"{datetime.now(UTC):%Y-%m}"
    (adjusted,) = await lines(ledger, today, "UTC")
    assert (adjusted.cost, adjusted.unknown, adjusted.flags) == (21 * CENT, -21 * CENT, "reconciled")


async def test_a_day_that_the_bill_does_not_mention_resolves_nothing(ledger: Ledger) -> None:
    await call(ledger, "u", None)
    await call(ledger, "s", CENT)
    (found,) = await compared(ledger, {}, resolve=True, billed=[])
    assert (found.verdict, found.resolution) == (Verdict.NOT_BILLED, {})
    assert (await stored_attempts(ledger))["u/1"].state == "unknown"


async def test_a_late_answer_wins_over_the_bill(ledger: Ledger) -> None:
    await call(ledger, "u", None)
    (found,) = await compared(ledger, {(DAY, "gpt-image-2"): 21 * CENT})
    assert found.verdict is Verdict.EXPLAINED
    await ledger.record(end("u/1", cost=20 * CENT, ended_at=NOON))
    await compared(ledger, {(DAY, "gpt-image-2"): 21 * CENT}, resolve=True)
    row = (await stored_attempts(ledger))["u/1"]
    assert (row.cost, row.flags) == (20 * CENT, None)


def test_the_tolerance_is_the_larger_of_amount_and_share() -> None:
    tolerance = Tolerance(NanoDollars(CENT), Decimal("0.01"))
    assert tolerance.covers(CENT, 0)
    assert not tolerance.covers(CENT + 1, 100 * CENT)
    assert tolerance.covers(-2 * CENT, 200 * CENT)
