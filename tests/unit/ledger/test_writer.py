"""Group commit: together, durable, and each on its own account."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.errors import Unavailable
from gateway.ledger import sqlite_store
from gateway.ledger import writer as writers
from gateway.ledger.entries import NoSuchRow
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState
from gateway.ledger.store import Store
from tests.unit.ledger.entries import (
    attempt,
    end,
    request,
    request_end,
    spent,
    stored_attempts,
    stored_requests,
)

T = TypeVar("T")


class CountingStore:
    """The real store, with its write transactions counted and, if asked, held back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.dialect = store.dialect
        self.transactions = 0
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.transactions += 1
        await self.open.wait()
        return await self._store.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._store.read(work)

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
def counting(ledger: Ledger) -> CountingStore:
    store = CountingStore(ledger._store)
    ledger._writer._store = store
    return store


async def test_all_calls_that_wait_share_a_transaction(ledger: Ledger, counting: CountingStore) -> None:
    await asyncio.gather(*(ledger.record(request(f"r{i}"), attempt(f"r{i}")) for i in range(200)))
    assert counting.transactions == 1
    assert len(await stored_attempts(ledger)) == 200


async def test_one_bad_entry_fails_alone(ledger: Ledger) -> None:
    results = await asyncio.gather(
        ledger.record(request("a"), attempt("a")),
        ledger.record(attempt("nobody")),
        ledger.record(end("ghost/1")),
        ledger.record(request("b"), attempt("b"), end("b/1", cost=5)),
        return_exceptions=True,
    )
    assert results[0] is None
    assert isinstance(results[1], Exception)
    assert isinstance(results[2], NoSuchRow)
    assert results[3] is None
    assert set(await stored_requests(ledger)) == {"a", "b"}
    assert await spent(ledger) == 5


async def test_a_value_that_does_not_fit_is_not_taken_for_a_store_that_is_away(
    postgres_database: str, tmp_path: Path
) -> None:
    ledger = await Ledger.open(postgres_database, tmp_path)
    try:
        bad, good = await asyncio.gather(
            ledger.record(request("bad", n=2**40)), ledger.record(request("good")), return_exceptions=True
        )
        assert isinstance(bad, DBAPIError)
        assert good is None
    finally:
        await ledger.close()


async def test_nobody_is_told_before_the_commit(ledger: Ledger, counting: CountingStore) -> None:
    counting.open.clear()
    waiting = asyncio.create_task(ledger.record(request("r"), attempt("r")))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await stored_requests(ledger) == {}
    counting.open.set()
    await waiting
    assert set(await stored_requests(ledger)) == {"r"}


async def test_a_cancelled_caller_breaks_nothing_and_its_rows_are_written(
    ledger: Ledger, counting: CountingStore
) -> None:
    counting.open.clear()
    first = asyncio.create_task(ledger.record(request("a"), attempt("a")))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(ledger.record(request("b"), attempt("b")))
    third = asyncio.create_task(ledger.record(request("c"), attempt("c")))
    await asyncio.sleep(0.02)
    first.cancel()
    second.cancel()
    counting.open.set()
    await third
    await ledger.record(request("d"), attempt("d"))
    assert set(await stored_requests(ledger)) == {"a", "b", "c", "d"}


async def test_patient_rows_that_went_with_others_wake_no_transaction_of_their_own(
    ledger: Ledger, counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "PATIENCE_SECONDS", 0.8)
    await ledger.record(request("a"), attempt("a"))
    patient = asyncio.create_task(ledger.record(request_end("a"), patient=True))
    await asyncio.sleep(writers.PATIENCE_SECONDS / 2)
    assert not patient.done()
    await ledger.record(end("a/1"))
    await patient
    later = asyncio.create_task(ledger.record(request("b"), patient=True))
    await asyncio.sleep(writers.PATIENCE_SECONDS * 0.75)  # past the first one's moment
    assert counting.transactions == 2
    await later
    assert counting.transactions == 3


async def test_closing_writes_what_waits_and_then_refuses(database: str, tmp_path: Path) -> None:
    ledger = await Ledger.open(database, tmp_path)
    counting = CountingStore(ledger._store)
    ledger._writer._store = counting
    counting.open.clear()
    waiting = [asyncio.create_task(ledger.record(request(f"r{i}"), attempt(f"r{i}"))) for i in range(3)]
    await asyncio.sleep(0.02)
    late = asyncio.create_task(ledger.record(request("late"), attempt("late")))
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(ledger.close())
    await asyncio.sleep(0)
    counting.open.set()
    await closing
    await asyncio.gather(*waiting, late)
    with pytest.raises(Unavailable):
        await ledger.record(request("after"), attempt("after"))
    again = await Ledger.open(database, tmp_path)
    try:
        assert set(await stored_requests(again)) == {"r0", "r1", "r2", "late"}
    finally:
        await again.close()


async def test_when_too_many_wait_beginnings_are_refused_and_ends_are_taken(
    ledger: Ledger, counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "WAITING", 2)
    await ledger.record(request("r"), attempt("r"))
    counting.open.clear()
    first = asyncio.create_task(ledger.record(request("a"), attempt("a")))
    await asyncio.sleep(0.02)
    waiting = [asyncio.create_task(ledger.record(request(name), attempt(name))) for name in "bc"]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await ledger.record(request("x"), attempt("x"))
    ending = asyncio.create_task(ledger.record(end("r/1")))
    await asyncio.sleep(0)
    counting.open.set()
    await asyncio.gather(first, ending, *waiting)
    assert (await stored_attempts(ledger))["r/1"].state == AttemptState.SETTLED


async def test_a_locked_database_is_unavailable_and_then_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.2)
    ledger = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    other = sqlite3.connect(tmp_path / "imagegate.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.wait_for(
            asyncio.gather(*(ledger.record(request(f"r{i}")) for i in range(20)), return_exceptions=True), 5
        )
        assert all(isinstance(result, Unavailable) for result in results)
        refusal = results[0]
        assert isinstance(refusal, Unavailable)
        assert (refusal.status, refusal.code, refusal.retryable) == (503, "ledger_unavailable", True)
        assert "not sent" in refusal.message
        assert "Retry" in refusal.message
        other.execute("ROLLBACK")
        await ledger.record(request("after"))
        assert set(await stored_requests(ledger)) == {"after"}
    finally:
        other.close()
        await ledger.close()


async def test_a_full_disk_is_unavailable_and_loses_nothing_that_was_durable(tmp_path: Path) -> None:
    ledger = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    try:
        await ledger.record(request("before"), attempt("before"), end("before/1"))

        def fill(connection: Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        await ledger._store.write(fill)
        with pytest.raises(Unavailable) as full:
            for i in range(500):
                await ledger.record(request(f"r{i}", tags="x" * 1000), attempt(f"r{i}"))
        assert full.value.code == "ledger_unavailable"
        assert await spent(ledger) == 210_775_000
    finally:
        await ledger.close()


async def test_a_lost_connection_is_replaced_and_the_batch_sent_again(
    postgres_database: str, tmp_path: Path
) -> None:
    import asyncpg

    ledger = await Ledger.open(postgres_database, tmp_path)
    try:
        await ledger.record(request("a"), attempt("a"))
        assert await spent(ledger) == 0
        link = await asyncpg.connect(postgres_database.replace("+asyncpg", ""))
        await link.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await link.close()
        await ledger.record(request("b"), attempt("b"))
        assert set(await stored_requests(ledger)) == {"a", "b"}
    finally:
        await ledger.close()


async def test_two_replicas_write_the_same_entries_and_nothing_is_counted_twice(
    postgres_database: str, tmp_path: Path
) -> None:
    replicas = [await Ledger.open(postgres_database, tmp_path) for _ in range(2)]
    try:
        await asyncio.gather(
            *(
                replica.record(request(f"r{i}"), attempt(f"r{i}"), end(f"r{i}/1", cost=1))
                for i in range(50)
                for replica in replicas
            )
        )
        assert await spent(replicas[0]) == 50
    finally:
        for replica in replicas:
            await replica.close()
