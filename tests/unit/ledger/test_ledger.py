"""The record itself: what is written, what may change, what a crash leaves."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import IntegrityError
from structlog.testing import CapturingLogger

from gateway.ledger import ledger as ledger_module
from gateway.ledger.entries import NoSuchRow
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, Charge, NanoDollars
from gateway.ledger.refusals import InUse, LedgerRefused
from gateway.quota.terms import Scope
from tests.unit.ledger.dying import killed
from tests.unit.ledger.entries import (
    NOON,
    attempt,
    end,
    request,
    request_end,
    spent,
    stored_attempts,
    stored_requests,
)


async def test_a_request_and_its_attempt_are_stored_as_given(ledger: Ledger) -> None:
    await ledger.record(request("r", end_user="anna", tags="t"), attempt("r"))
    (row,) = (await stored_requests(ledger)).values()
    assert (row.received_at, row.project_id, row.key_id, row.end_user) == (
        NOON,
        "proj_growth",
        "key_1",
        "anna",
    )
    assert (row.ended_at, row.status, row.client_gone) == (None, None, 0)
    running = (await stored_attempts(ledger))["r/1"]
    assert (running.state, running.received_at, running.project_id) == ("dispatched", NOON, "proj_growth")
    assert (running.ended_at, running.cost) == (None, None)

    await ledger.record(
        end("r/1", charge=Charge(None, ("usage_missing", "estimated"), "v2")), request_end("r")
    )
    settled = (await stored_attempts(ledger))["r/1"]
    assert (settled.state, settled.ended_at, settled.output_tokens, settled.cost) == (
        "settled",
        NOON,
        7024,
        None,
    )
    assert (settled.flags, settled.price_version) == ("usage_missing,estimated", "v2")
    assert (await stored_requests(ledger))["r"].cost == 210_775_000


async def test_facts_at_admission_are_columns_for_reports(ledger: Ledger) -> None:
    labels = '{"cost_center":"4711","text":"' + "x" * 5000 + '"}'
    facts = {"tags": '{"team":"a"}', "labels": labels, "external_key_id": "ext-9", "end_user": "anna"}
    hold = '["r/1",1,45000,0,[]]' + " " * 3000
    admitted = NOON - timedelta(seconds=1)
    first = replace(
        attempt("r"),
        hold=hold,
        admitted_at=admitted,
        hold_amount=NanoDollars(9),
        hold_tokens=8,
        expected=NanoDollars(7),
    )
    await ledger.record(request("r", n=3, **facts), first, attempt("r", 2))
    charge = Charge(NanoDollars(5), (), "v", catalogue=NanoDollars(5), reported=NanoDollars(6))
    await ledger.record(end("r/1", charge=charge))
    row = (await stored_requests(ledger))["r"]
    assert (row.tags, row.labels, row.external_key_id) == (facts["tags"], labels, "ext-9")
    held, later = (await stored_attempts(ledger))["r/1"], (await stored_attempts(ledger))["r/2"]
    assert (held.hold, held.admitted_at, held.epoch) == (hold, admitted, 0)
    assert (held.hold_amount, held.hold_tokens, held.expected) == (9, 8, 7)
    assert (held.cost, held.cost_catalogue, held.cost_reported) == (5, 5, 6)
    assert (held.model, held.end_user_digest) == ("gpt-image-2", row.end_user_digest)
    assert row.end_user_digest in Scope.end_user("p", "k", "anna").text
    # A request and its images count once, with the first attempt.
    assert [(x.counted_requests, x.counted_images) for x in (held, later)] == [(1, 3), (0, 0)]
    assert (later.hold, later.admitted_at) == (None, NOON)


async def test_what_was_recorded_survives_the_process(database: str, tmp_path: Path) -> None:
    first = await Ledger.open(database, tmp_path)
    await first.record(request("r"), attempt("r"))
    await first.record(end("r/1"))
    await first.close()
    second = await Ledger.open(database, tmp_path)
    try:
        assert await spent(second) == 210_775_000
        assert second.instance_id == first.instance_id
    finally:
        await second.close()


async def test_every_entry_may_be_repeated(ledger: Ledger) -> None:
    for _ in range(3):
        await ledger.record(request("r"), attempt("r"))
    for _ in range(3):
        await ledger.record(end("r/1"), request_end("r"))
    assert await spent(ledger) == 210_775_000
    assert len(await stored_attempts(ledger)) == 1


async def test_a_repeat_does_not_overwrite_what_stands(ledger: Ledger) -> None:
    await ledger.record(request("r", model="first"), attempt("r"), end("r/1", cost=1), request_end("r", 200))
    await ledger.record(request("r", model="second"), end("r/1", cost=2), request_end("r", 500))
    assert (await stored_requests(ledger))["r"].model == "first"
    assert (await stored_requests(ledger))["r"].status == 200
    assert await spent(ledger) == 1


@pytest.mark.parametrize("first", [AttemptState.SETTLED, AttemptState.RELEASED])
@pytest.mark.parametrize("second", [AttemptState.SETTLED, AttemptState.RELEASED, AttemptState.UNKNOWN])
async def test_settled_and_released_never_change(
    ledger: Ledger, first: AttemptState, second: AttemptState
) -> None:
    costs = {AttemptState.SETTLED: 5, AttemptState.RELEASED: 0, AttemptState.UNKNOWN: None}
    await ledger.record(request("r"), attempt("r"), end("r/1", first, costs[first]))
    before = (await stored_attempts(ledger))["r/1"]
    await ledger.record(end("r/1", second, 99 if second is AttemptState.SETTLED else costs[second]))
    assert (await stored_attempts(ledger))["r/1"] == before


@pytest.mark.parametrize(("state", "cost"), [(AttemptState.SETTLED, 7), (AttemptState.RELEASED, 0)])
async def test_unknown_becomes_settled_or_released_and_then_never_changes(
    ledger: Ledger, state: AttemptState, cost: int
) -> None:
    await ledger.record(request("r"), attempt("r"), end("r/1", AttemptState.UNKNOWN, None, usage=None))
    await ledger.record(end("r/1", state, cost))
    await ledger.record(end("r/1", AttemptState.UNKNOWN, None), end("r/1", AttemptState.SETTLED, 9))
    assert (await stored_attempts(ledger))["r/1"].state == state
    assert await spent(ledger) == cost


async def test_ends_of_one_attempt_within_one_call_are_taken_in_order(ledger: Ledger) -> None:
    await ledger.record(
        request("r"),
        attempt("r"),
        end("r/1", AttemptState.UNKNOWN, None),
        end("r/1", AttemptState.SETTLED, 3),
    )
    assert await spent(ledger) == 3


async def test_an_end_without_a_beginning_is_an_error_and_not_a_lost_charge(ledger: Ledger) -> None:
    with pytest.raises(NoSuchRow, match="ghost/1"):
        await ledger.record(end("ghost/1"))
    with pytest.raises(NoSuchRow, match="ghost"):
        await ledger.record(request_end("ghost"))


async def test_an_attempt_without_its_request_is_refused(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        await ledger.record(attempt("ghost"))
    assert await stored_attempts(ledger) == {}


async def test_entries_of_one_call_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(NoSuchRow):
        await ledger.record(request("r"), attempt("r"), end("other/1"))
    assert await stored_requests(ledger) == {}


async def test_entries_that_make_no_sense_are_refused_before_anything_is_written(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await ledger.record(request("r", received_at=datetime(2026, 11, 20)))
    with pytest.raises(ValueError, match="dispatched"):
        await ledger.record(end("r/1", AttemptState.DISPATCHED))
    with pytest.raises(ValueError, match="released"):
        await ledger.record(end("r/1", AttemptState.RELEASED, 5))
    with pytest.raises(ValueError, match="negative"):
        await ledger.record(end("r/1", cost=-1))
    assert await stored_requests(ledger) == {}


async def test_no_text_of_a_client_keeps_a_charge_out_of_the_ledger(ledger: Ledger) -> None:
    nasty = "a\0b\ud800" + "x" * 5000
    await ledger.record(request("r", end_user=nasty, client_request_id=nasty), attempt("r"))
    await ledger.record(end("r/1", error_code=nasty, upstream_request_id=nasty))
    stored = (await stored_requests(ledger))["r"].end_user
    assert stored.startswith("a\ufffdb")
    assert len(stored) == 1024
    assert await spent(ledger) == 210_775_000


async def test_an_absurd_token_count_is_stored_as_none(ledger: Ledger) -> None:
    usage = end("r/1").usage
    assert usage is not None
    absurd = type(usage)(input_tokens=10**30, output_tokens=7)
    await ledger.record(request("r"), attempt("r"), end("r/1", usage=absurd))
    row = (await stored_attempts(ledger))["r/1"]
    assert (row.input_tokens, row.output_tokens) == (None, 7)


async def test_a_moment_keeps_its_microseconds_in_any_zone(ledger: Ledger) -> None:
    local = NOON.astimezone(ZoneInfo("Asia/Kathmandu"))
    await ledger.record(request("r", received_at=local), attempt("r"))
    assert (await stored_requests(ledger))["r"].received_at == NOON


async def test_ready_says_whether_the_database_answers(ledger: Ledger) -> None:
    assert await ledger.ready() is True


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    logger = CapturingLogger()
    monkeypatch.setattr(ledger_module, "_log", logger)
    return logger


async def test_what_a_killed_process_left_running_is_unknown_after_the_next_start(
    tmp_path: Path, logged: CapturingLogger
) -> None:
    program = """
import asyncio, os, pathlib, signal
from gateway.ledger.ledger import Ledger
from tests.unit.ledger.entries import attempt, end, request
async def main():
    ledger = await Ledger.open("sqlite:///imagegate.db", pathlib.Path(os.environ["FOLDER"]))
    await ledger.record(request("done"), attempt("done"), end("done/1"))
    await ledger.record(request("running"), attempt("running"))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    await killed(program, tmp_path)
    ledger = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    try:
        rows = await stored_attempts(ledger)
        assert rows["done/1"].state == "settled"
        assert (rows["running/1"].state, rows["running/1"].error_code) == ("unknown", "interrupted")
        assert rows["running/1"].ended_at is not None
        assert await spent(ledger) == 210_775_000
        assert ("warning", ("attempts_interrupted",), {"count": 1, "state": "unknown"}) in logged.calls
        await ledger.record(end("running/1"))  # a late reconciliation still settles it
        assert await spent(ledger) == 2 * 210_775_000
    finally:
        await ledger.close()


async def test_running_attempts_of_other_replicas_are_left_alone(
    postgres_database: str, tmp_path: Path
) -> None:
    first = await Ledger.open(postgres_database, tmp_path)
    await first.record(request("r"), attempt("r"))
    second = await Ledger.open(postgres_database, tmp_path)
    try:
        assert (await stored_attempts(second))["r/1"].state == "dispatched"
        await first.record(end("r/1"))
        assert await spent(second) == 210_775_000
    finally:
        await second.close()
        await first.close()


async def test_a_second_process_cannot_open_the_same_file(tmp_path: Path) -> None:
    first = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    try:
        with pytest.raises(InUse, match="in use by process"):
            await Ledger.open("sqlite:///imagegate.db", tmp_path)
    finally:
        await first.close()
    await (await Ledger.open("sqlite:///imagegate.db", tmp_path)).close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("mysql://localhost/x", "mysql"),
        ("no url", "not a URL"),
        ("postgresql+asyncpg://nobody@127.0.0.1:1/x", "cannot be reached"),
    ],
)
async def test_a_database_that_cannot_serve_is_refused_with_words_for_the_operator(
    url: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(LedgerRefused, match=words):
        await Ledger.open(url, tmp_path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "imagegate.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LedgerRefused, match="cannot be opened"):
        await Ledger.open("sqlite:///imagegate.db", tmp_path)


async def test_an_old_sqlite_is_warned_about(
    tmp_path: Path, logged: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, warned in (((3, 51, 2), True), ((3, 51, 3), False)):
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        logged.calls.clear()
        await (await Ledger.open("sqlite:///imagegate.db", tmp_path)).close()
        assert any(call.args == ("sqlite_outdated",) for call in logged.calls) is warned


async def test_the_database_of_money_is_set_up_for_durability(tmp_path: Path) -> None:
    ledger = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    try:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = await ledger._store.write(
            lambda connection: [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
        )
        assert found == ["wal", 2, 1, 5000]
    finally:
        await ledger.close()
