"""Credits are signed entries that give room; nothing is ever set back or changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.accounts.credits import Credit, Credited, Given
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.scopes import Declared, read_scope
from gateway.ledger.accounts.tables import credits, journal
from gateway.ledger.counted import Span
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import NanoDollars
from gateway.quota.terms import Scope
from gateway.quota.windows import Calendar, to_ms
from tests.unit.accounts.books import KEY, lines

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
    told = await ledger.accounts.given([Span(before - DAY, before + DAY)])
    sums = [Credited(0, "org", NanoDollars(1)), Credited(0, "project:proj_growth", NanoDollars(12))]
    assert told == Given(3, [sums])
    later, earlier = Span(before + DAY), Span(before - 2 * DAY, before)
    assert (await ledger.accounts.given([later, earlier])).sums == [[], []]
    (rolling,) = (await ledger.accounts.given([Span(before - DAY, None, 60_000)])).sums
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
    told = await ledger.accounts.given([Span(given.counts_at - DAY)])
    assert told == Given(2, [[Credited(0, given.scope, NanoDollars(0))]])
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
