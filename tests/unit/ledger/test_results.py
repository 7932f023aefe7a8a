"""Who gets an answer again, decided by the database: once, by one, whatever runs at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Message
from gateway.ledger.results import Outcome, Result
from tests.unit.ledger.entries import attempt, request

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def result(request_id: str, **changes: Any) -> Result:
    row = Result(request_id, "proj", "key_1", "generations", "f" * 64, NOW, NOW + timedelta(seconds=30))
    return replace(row, **changes)


def done(**changes: Any) -> Outcome:
    fields: dict[str, Any] = {"headers": "[]", "content_type": "application/json", "media_id": "m", "size": 2}
    return Outcome(200, NOW, NOW + timedelta(hours=24), **{**fields, **changes})


@pytest.fixture
async def other(database: str, tmp_path: Path, ledger: Ledger) -> AsyncIterator[Ledger]:
    """Another replica's, where there can be one."""
    if database.startswith("sqlite"):
        yield ledger
        return
    opened = await Ledger.open(database, tmp_path)
    yield opened
    await opened.close()


async def test_a_key_belongs_to_one_call(ledger: Ledger, other: Ledger) -> None:
    wanted = [result(f"r{number}", idempotency_key="k") for number in range(8)]
    found = await asyncio.gather(
        *((ledger if number % 2 else other).results.begin(row) for number, row in enumerate(wanted))
    )
    winners = [row for row, had in zip(wanted, found, strict=True) if had is None]
    assert len(winners) == 1
    assert {had.request_id for had in found if had is not None} == {winners[0].request_id}


async def test_keys_of_other_routes_and_api_keys_are_other_keys(ledger: Ledger) -> None:
    begin = ledger.results.begin
    assert await begin(result("r1", idempotency_key="k")) is None
    assert await begin(result("r2", idempotency_key="k", route="edits")) is None
    assert await begin(result("r3", idempotency_key="k", key_id="key_2")) is None
    assert (await begin(result("r4", idempotency_key="k"))) == result("r1", idempotency_key="k")


async def test_each_orphan_is_claimed_once_by_any_replica(ledger: Ledger, other: Ledger) -> None:
    for number in range(3):
        await ledger.results.leave(result(f"o{number}", left_at=NOW + timedelta(seconds=number)))
    claims = await asyncio.gather(
        *(
            (ledger if number % 2 else other).results.claim(
                "key_1", "generations", "f" * 64, by=f"c{number}", since=NOW, now=NOW
            )
            for number in range(10)
        )
    )
    had = sorted(each.request_id for each in claims if each is not None)
    assert had == ["o0", "o1", "o2"]


@pytest.mark.parametrize(
    "unlike",
    [
        {"key_id": "key_2"},
        {"route": "edits"},
        {"fingerprint": "0" * 64},
        {"left_at": None},
        {"left_at": NOW - timedelta(minutes=11)},
        {"lease_until": NOW - timedelta(seconds=1)},
        {"idempotency_key": "k"},
        {"claimed_by": "somebody"},
    ],
)
async def test_what_is_no_orphan_of_this_call_is_not_claimed(ledger: Ledger, unlike: dict[str, Any]) -> None:
    await ledger.results.begin(result("o", **{"left_at": NOW, **unlike}))
    since = NOW - timedelta(minutes=10)
    assert await ledger.results.claim("key_1", "generations", "f" * 64, by="c", since=since, now=NOW) is None


async def test_a_claim_that_is_given_back_can_be_made_again(ledger: Ledger) -> None:
    await ledger.results.leave(result("o", left_at=NOW))

    async def claim(by: str) -> Result | None:
        return await ledger.results.claim("key_1", "generations", "f" * 64, by=by, since=NOW, now=NOW)

    assert await claim("c1") is not None
    assert await claim("c2") is None
    await ledger.results.unclaim("o", "c2", NOW)
    assert await claim("c2") is None, "who did not claim it cannot give it back"
    await ledger.results.unclaim("o", "c1", NOW + timedelta(seconds=1))
    assert await claim("c2") is not None


async def test_an_end_and_its_message_are_written_together_or_not(ledger: Ledger) -> None:
    await ledger.results.begin(result("r", idempotency_key="k"))
    message = Message("msg", "proj", "r", "{}", NOW, NOW)
    assert await ledger.results.finish("r", done(), message)
    assert not await ledger.results.finish("r", done(media_id="another"), replace(message, message_id="2"))
    kept = await ledger.results.get("r")
    assert kept is not None
    assert (kept.state, kept.media_id, kept.status) == ("done", "m", 200)
    assert await ledger.outbox.take(NOW, NOW + timedelta(seconds=30), 10) == [message]


async def test_a_message_is_had_by_one_until_its_lease_ends(ledger: Ledger, other: Ledger) -> None:
    for number in range(4):
        await ledger.results.begin(result(f"r{number}"))
        message = Message(f"m{number}", "proj", f"r{number}", "{}", NOW, NOW)
        await ledger.results.finish(f"r{number}", done(), message)
    until = NOW + timedelta(seconds=30)
    taken = await asyncio.gather(*(each.outbox.take(NOW, until, 3) for each in (ledger, other, ledger)))
    assert sorted(each.message_id for batch in taken for each in batch) == ["m0", "m1", "m2", "m3"]
    again = await other.outbox.take(until, until + timedelta(seconds=30), 10)
    assert [each.tries for each in again] == [1, 1, 1, 1]
    await ledger.outbox.again("m0", NOW)
    for number in (1, 2, 3):
        await ledger.outbox.done(f"m{number}")
    assert [each.message_id for each in await ledger.outbox.take(NOW, until, 9)] == ["m0"]


async def test_an_answer_expires_and_its_key_is_known_for_longer(ledger: Ledger) -> None:
    await ledger.results.begin(result("keyed", idempotency_key="k"))
    await ledger.results.leave(result("orphan", left_at=NOW))
    await ledger.results.finish("keyed", done(media_id="m1"))
    await ledger.results.finish("orphan", done(media_id="m2"))
    later = NOW + timedelta(hours=25)
    assert await ledger.results.expire(NOW, WEEK) == []
    assert sorted(await ledger.results.expire(later, WEEK)) == ["m1", "m2"]
    kept = await ledger.results.get("keyed")
    assert kept is not None
    assert (kept.state, kept.media_id) == ("expired", None)
    assert await ledger.results.get("orphan") is None
    await ledger.results.expire(later + WEEK, WEEK)
    assert await ledger.results.get("keyed") is None


async def test_of_a_dead_replica_only_what_was_sent_is_lost(ledger: Ledger) -> None:
    """Of what was never sent nothing can have been made: its key is free."""
    await ledger.record(request("sent"), attempt("sent"))
    await ledger.results.begin(result("sent", idempotency_key="k1"))
    await ledger.results.begin(result("unsent", idempotency_key="k2"))
    await ledger.results.renew(["sent", "unsent"], NOW + timedelta(minutes=5))
    assert await ledger.results.lapse(NOW + timedelta(minutes=4), WEEK) == 0
    assert await ledger.results.lapse(NOW + timedelta(minutes=6), WEEK) == 2
    lost = await ledger.results.get("sent")
    assert lost is not None
    assert lost.state == "lost"
    assert await ledger.results.get("unsent") is None


async def test_a_call_that_made_nothing_is_forgotten_and_a_finished_one_is_not(ledger: Ledger) -> None:
    await ledger.results.begin(result("r1", idempotency_key="k"))
    await ledger.results.forget("r1")
    assert await ledger.results.begin(result("r2", idempotency_key="k")) is None
    await ledger.results.finish("r2", done())
    await ledger.results.forget("r2")
    assert await ledger.results.get("r2") is not None


async def test_orphans_are_listed_until_they_are_claimed(ledger: Ledger) -> None:
    await ledger.results.leave(result("o", left_at=NOW))
    await ledger.results.begin(result("keyed", idempotency_key="k"))
    assert [each.fingerprint for each in await ledger.results.orphans(NOW)] == ["f" * 64]
    assert await ledger.results.orphans(NOW + timedelta(seconds=1)) == []
    await ledger.results.claim("key_1", "generations", "f" * 64, by="c", since=NOW, now=NOW)
    assert await ledger.results.orphans(NOW) == []
