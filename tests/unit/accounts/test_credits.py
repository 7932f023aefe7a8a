"""Credits are signed entries that give room; nothing is ever set back or changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.accounts.credits import Credit, Credited
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.scopes import Declared, read_scope
from gateway.ledger.accounts.tables import credits, journal
from gateway.ledger.counted import Span
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import NanoDollars
from gateway.quota.holds import Hold, Line, State
from gateway.quota.outcomes import LEASE_MS, Admitted, End, Refused, Reservation
from gateway.quota.plan import line
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms, to_ms
from tests.unit.accounts.books import KEY, lines
from tests.unit.quota.worlds import World

DECLARED = Declared({"growth": "proj_growth", "art": "art"}, {"art/ci": "art"})
DAY = timedelta(days=1)


async def give(ledger: Ledger, scope: str = "project:growth", amount: int = 5, **more: Any) -> Credit:
    return await ledger.accounts.give(
        scope,
        more.get("model"),
        NanoDollars(amount),
        reason=more.get("reason", "a fault of ours"),
        entered_by="anna",
        declared=DECLARED,
        signing_key=KEY,
    )


async def test_a_credit_says_who_why_and_when_and_counts_for_its_scope_alone(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    first = await give(ledger)
    second = await give(ledger, amount=7)
    await give(ledger, "organization", 1)
    assert (first.scope, first.project_id, first.amount) == ("project:proj_growth", "proj_growth", 5)
    assert (first.reason, first.entered_by) == ("a fault of ours", "anna")
    assert before <= first.counts_at <= datetime.now(UTC)
    (sums,) = await ledger.accounts.credited([Span(before - DAY, before + DAY)], None)
    assert sums == [Credited(0, "org", NanoDollars(1)), Credited(0, "project:proj_growth", NanoDollars(12))]
    later, earlier = Span(before + DAY), Span(before - 2 * DAY, before)
    assert await ledger.accounts.credited([later, earlier], None) == [[], []]
    assert await ledger.accounts.credited([Span(before - DAY)], before) == [[]]
    (rolling,) = await ledger.accounts.credited([Span(before - DAY, None, 60_000)], None)
    assert sum(each.amount for each in rolling) == 13
    assert rolling[0].bucket == to_ms(first.counts_at) // 60_000
    assert [credit.credit_id for credit in await ledger.accounts.credits()][:2] == [
        first.credit_id,
        second.credit_id,
    ]


async def test_a_credit_is_taken_back_by_its_opposite_in_the_same_windows_once(ledger: Ledger) -> None:
    given = await give(ledger)
    taken = await ledger.accounts.void(
        given.credit_id, reason="typing error", entered_by="otto", signing_key=KEY
    )
    assert (taken.amount, taken.counts_at, taken.voids) == (-5, given.counts_at, given.credit_id)
    (sums,) = await ledger.accounts.credited([Span(given.counts_at - DAY)], None)
    assert sums == []
    for credit_id in (given.credit_id, taken.credit_id):
        with pytest.raises(InvalidRequest):
            await ledger.accounts.void(credit_id, reason="x", entered_by="otto", signing_key=KEY)
    with pytest.raises(NotFound, match="credit_none"):
        await ledger.accounts.void("credit_none", reason="x", entered_by="otto", signing_key=KEY)


@pytest.mark.parametrize("amount", [0, -1, 2**53])
async def test_a_credit_is_more_than_nothing_and_exact(ledger: Ledger, amount: int) -> None:
    with pytest.raises(InvalidRequest):
        await give(ledger, amount=amount)
    assert await ledger.accounts.credits() == []


async def test_a_credit_is_a_line_of_the_month_it_was_entered_in(ledger: Ledger) -> None:
    given = await give(ledger, reason="the outage of Monday")
    month = str(Month.of(given.entered_at, Calendar("Europe/Vienna")._zones[0]))
    (found,) = await lines(ledger, month)
    assert (found.kind, found.cost, found.project, found.line_id) == ("credit", -5, "growth", given.credit_id)
    assert "the outage of Monday" in found.note


@pytest.mark.parametrize(
    ("words", "model", "scope"),
    [
        ("organization", None, Scope.organization()),
        ("organization", "gpt-image-2", Scope.organization(model="gpt-image-2")),
        ("project:growth", None, Scope.project("proj_growth")),
        ("project:proj_growth", "a b@c", Scope.project("proj_growth", model="a b@c")),
        ("key:art/ci", None, Scope.key("art", "art/ci")),
        ("user:art/ci:anna:müller", None, Scope.end_user("art", "art/ci", "anna:müller")),
        ("user:art/ci:x", "m", Scope.end_user("art", "art/ci", "x", model="m")),
    ],
)
async def test_a_scope_is_named_as_its_counters_are(
    ledger: Ledger, words: str, model: str | None, scope: Scope
) -> None:
    found = await ledger._store.read(lambda c: read_scope(c, words, model, DECLARED))
    assert found.text == scope.text


async def test_a_key_made_here_is_found_with_its_project(ledger: Ledger) -> None:
    record, _ = await ledger.keys.create(name="x", project_id="art", pepper=b"p")
    found = await ledger._store.read(lambda c: read_scope(c, f"key:{record.id}", None, DECLARED))
    assert found.text == Scope.key("art", record.id).text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("", InvalidRequest),
        ("project:", InvalidRequest),
        ("user:art/ci", InvalidRequest),
        ("team:x", InvalidRequest),
        ("project:none", NotFound),
        ("key:none", NotFound),
    ],
)
async def test_a_scope_that_is_none_is_refused(ledger: Ledger, words: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await give(ledger, words)


async def test_a_change_of_a_credit_or_of_the_journal_is_seen(ledger: Ledger) -> None:
    first = await give(ledger)
    await give(ledger)
    book = await ledger.accounts.book(KEY)
    assert (len(book.entries), book.broken, list(book.altered)) == (2, None, [])
    assert (await ledger.accounts.book(b"another secret")).broken == 1

    def raise_it(connection: Connection) -> None:
        mine = credits.c.credit_id == first.credit_id
        connection.execute(update(credits).where(mine).values(amount=500))

    await ledger._store.write(raise_it)
    book = await ledger.accounts.book(KEY)
    assert (book.broken, list(book.altered)) == (None, [first.credit_id])

    def rewrite(connection: Connection) -> None:
        body = book.entries[0].body | {"amount": 500}
        import json

        text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        connection.execute(update(journal).where(journal.c.number == 1).values(body=text))

    await ledger._store.write(rewrite)
    assert (await ledger.accounts.book(KEY)).broken == 1


async def test_an_entry_that_was_taken_out_is_missed(ledger: Ledger) -> None:
    for _ in range(3):
        await give(ledger)
    await ledger._store.write(lambda c: c.execute(journal.delete().where(journal.c.number == 2)))
    assert (await ledger.accounts.book(KEY)).broken == 3


async def test_replicas_sign_one_chain(postgres_database: str, tmp_path: Path) -> None:
    import asyncio

    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(3)]
    try:
        await asyncio.gather(*(give(replicas[number % 3]) for number in range(12)))
        book = await replicas[0].accounts.book(KEY)
        assert (len(book.entries), book.broken, list(book.altered)) == (12, None, [])
    finally:
        for replica in replicas:
            await replica.close()


def credit_end(credit: Credited, credit_id: str, at: int, limits: list[Limit], calendar: Calendar) -> End:
    """A credit as a store of counters is told of it: the settled end of an attempt that nobody has seen,
    which held nothing and cost less than nothing, in the counters of its scope."""
    counters = [limit for limit in limits if limit.scope.text == credit.scope]
    held: tuple[Line, ...] = tuple(line(limit, 0, calendar, from_ms(at)) for limit in counters)
    return End(Hold(credit_id, at, LEASE_MS, held), State.SETTLED, {Measure.SPEND: -credit.amount})


async def test_a_counter_takes_a_credit_as_an_end_below_nothing_once(at: World) -> None:
    store = at.store
    month = Limit(Scope.project("p"), Measure.SPEND, 10, "month")
    organization = Limit(Scope.organization(), Measure.SPEND, 20, "month")
    both = [month, organization]
    await at.rebuild([line(limit, 10, store.calendar, from_ms(at.now)) for limit in both])
    wish = Reservation("r/1", {Measure.SPEND: 4}, both)
    assert isinstance(await store.reserve([wish]), Refused)
    await at.advance(1000)
    credit = Credited(0, Scope.project("p").text, NanoDollars(5))
    end = credit_end(credit, "credit_1", at.now, both, store.calendar)
    moved = [*(await store.end([end])), *(await store.end([end]))]
    assert [each.applied for each in moved] == [True, False]
    assert [each.settled for each in await store.standing(both)] == [5, 10]
    assert isinstance(await store.reserve([wish]), Admitted)
