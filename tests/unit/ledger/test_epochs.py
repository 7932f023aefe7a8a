"""No call starts on the word of counters that have been replaced."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import NewAttempt
from gateway.quota.in_epoch import tag_of
from tests.unit.ledger.entries import attempt, end, request, spent, stored_attempts


def intent(request_id: str, epoch: int) -> NewAttempt:
    return replace(attempt(request_id), epoch=epoch)


async def test_epochs_are_numbered_and_outlive_the_process(database: str, tmp_path: Path) -> None:
    ledger = await Ledger.open(database, tmp_path)
    assert await ledger.epoch() is None
    first = await ledger.begin_epoch("run-a")
    second = await ledger.begin_epoch(None)
    assert (first.number, first.run_id, second.number, second.run_id) == (1, "run-a", 2, None)
    await ledger.close()
    ledger = await Ledger.open(database, tmp_path)
    try:
        assert await ledger.epoch() == second
    finally:
        await ledger.close()


async def test_a_ledger_whose_store_is_ahead_of_it_takes_another_id(ledger: Ledger) -> None:
    """It was set back to a backup, or a copy of it counts there."""
    before = ledger.instance_id
    known = await ledger.begin_epoch("run", seen=None)
    same = await ledger.begin_epoch("run", seen=known.number)
    assert known.ledger == same.ledger == before
    other = await ledger.begin_epoch("run", seen=same.number + 1)
    assert other.number == same.number + 1
    assert other.ledger == ledger.instance_id != before
    assert tag_of(other.ledger) == tag_of(before), "its counters stay on the same member of a cluster"
    again = await ledger.begin_epoch("run", seen=99)
    assert tag_of(again.ledger) == tag_of(before)
    assert again.ledger not in (before, other.ledger)
    assert await ledger.epoch() == again


async def run(ledger: Ledger, statement: str) -> None:
    await ledger._store.write(lambda connection: connection.execute(text(statement)))


async def test_a_ledger_in_another_database_than_before_takes_another_id(
    postgres_database: str, tmp_path: Path
) -> None:
    async def opened(*statements: str) -> str:
        ledger = await Ledger.open(postgres_database, tmp_path)
        try:
            for each in statements:
                await run(ledger, each)
            return ledger.instance_id
        finally:
            await ledger.close()

    first = await opened()
    assert await opened("UPDATE meta SET value = 'elsewhere' WHERE name = 'home'") == first
    moved = await opened()
    assert moved != first
    assert await opened("DELETE FROM meta WHERE name = 'home'") == moved, "once"
    assert await opened() == moved, "nobody knows where it was"


async def test_a_server_that_does_not_say_which_it_is_changes_nothing(
    postgres_database: str, tmp_path: Path
) -> None:
    ledger = await Ledger.open(postgres_database, tmp_path)
    try:
        revoke = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
        for statement in (
            revoke,
            "CREATE ROLE guest LOGIN",
            "GRANT pg_write_all_data, pg_read_all_data TO guest",
        ):
            await run(ledger, statement)
        guest = await Ledger.open(postgres_database.replace("postgres@", "guest@"), tmp_path)
        await guest.close()
        assert guest.instance_id == ledger.instance_id
    finally:
        await ledger.close()


async def test_an_intent_of_an_older_epoch_is_refused_and_leaves_no_row(ledger: Ledger) -> None:
    for _ in range(2):
        await ledger.begin_epoch(None)
    with pytest.raises(Unavailable) as refused:
        await ledger.record(request("old"), intent("old", 1))
    assert (refused.value.status, refused.value.code) == (503, "budget_state_rebuilding")
    assert (refused.value.retryable, refused.value.retry_after) == (True, 1)
    await ledger.record(request("now"), intent("now", 2))
    await ledger.record(request("open"), intent("open", 0))
    assert set(await stored_attempts(ledger)) == {"now/1", "open/1"}


async def test_a_refused_intent_takes_nobody_with_it_who_waits_for_the_same_commit(ledger: Ledger) -> None:
    await ledger.record(request("r"), attempt("r"))
    for _ in range(2):
        await ledger.begin_epoch(None)
    results = await asyncio.gather(
        ledger.record(request("a"), intent("a", 2)),
        ledger.record(request("old"), intent("old", 1)),
        ledger.record(end("r/1", cost=5)),
        ledger.record(request("b"), intent("b", 2)),
        return_exceptions=True,
    )
    assert [type(result) for result in (results[0], results[2], results[3])] == [type(None)] * 3
    assert getattr(results[1], "code", None) == "budget_state_rebuilding"
    assert set(await stored_attempts(ledger)) == {"a/1", "b/1", "r/1"}
    assert await spent(ledger) == 5


async def test_an_intent_is_in_the_snapshot_of_the_next_epoch_or_it_is_refused(
    postgres_database: str, tmp_path: Path
) -> None:
    """Two replicas: one writes intents without a pause while the other begins epochs and looks."""
    writing = await Ledger.open(postgres_database, tmp_path)
    building = await Ledger.open(postgres_database, tmp_path)
    newest = (await building.begin_epoch(None)).number
    written: dict[str, int] = {}
    stop = False

    async def write(name: str) -> None:
        number = 0
        while not stop:
            number += 1
            epoch, rid = newest, f"{name}{number}"
            try:
                await writing.record(request(rid), intent(rid, epoch))
            except Unavailable:
                continue
            written[f"{rid}/1"] = epoch

    try:
        tasks = [asyncio.create_task(write(name)) for name in "abcd"]
        seen: dict[int, set[str]] = {}
        for _ in range(25):
            await asyncio.sleep(0.01)
            epoch = (await building.begin_epoch(None)).number
            snapshot = await building.snapshot([], None, [])
            seen[epoch] = {each.attempt_id for each in snapshot.open}
            newest = epoch
        stop = True
        await asyncio.gather(*tasks)
        assert len(written) > 20
        for epoch, known in seen.items():
            missing = {rid for rid, of in written.items() if of < epoch} - known
            assert missing == set()
    finally:
        stop = True
        await writing.close()
        await building.close()
