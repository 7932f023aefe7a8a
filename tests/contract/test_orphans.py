"""Paid calls whose clients left: each is had once, by a retry, for nothing; nobody else's call is joined."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.engine import attempts
from gateway.engine.admission import Admissions
from gateway.ledger.ledger import Ledger
from gateway.ledger.results import Result
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.leaving import RETRY, ask, connected, until_orphaned, until_results
from tests.contract.upstreams_here import config
from tests.faults.budgeted import budgeted
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream


async def leave(here: Here, upstream: Upstream, **fields: object) -> None:
    """A client that leaves once its call is with the upstream; its orphan is known when this returns."""
    before = len(upstream.images)
    orphans = len([row for row in await here.rows("results", settle=0) if row["left_at"] is not None])
    async with connected(here, **fields):
        await upstream.wait_for(before + 1)
    await until_orphaned(here, orphans + 1)


@pytest.mark.parametrize("headers", [RETRY, {}, {"x-envoy-attempt-count": "2"}])
async def test_f46_f47_a_retry_waits_for_the_running_call_of_a_client_that_left(
    one: Here, upstream: Upstream, headers: dict[str, str]
) -> None:
    upstream.plan(on.ok(delay=0.6, bytes=700_000))
    await leave(one, upstream)
    again = await ask(one, headers)
    assert (again.status_code, len(again.content)) == (200, 700_000)
    assert again.headers["x-imagegate-replayed"] == "true"
    assert float(again.headers["x-imagegate-cost-usd"]) == 0
    assert len(upstream.images) == 1
    assert len(await one.rows("attempts")) == 1


@pytest.mark.parametrize("headers", [RETRY, {}])
async def test_a_repetition_that_comes_before_the_orphan_is_written_finds_it(
    one: Here, upstream: Upstream, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = one.gateway.ledger.results.leave

    async def slowly(row: Result) -> None:
        await asyncio.sleep(0.3)
        await inner(row)

    monkeypatch.setattr(one.gateway.ledger.results, "leave", slowly)
    upstream.plan(on.ok(delay=1.0, bytes=700_000))
    async with connected(one):
        await upstream.wait_for(1)
    again = await ask(one, headers)
    assert (len(again.content), again.headers["x-imagegate-replayed"]) == (700_000, "true")
    assert len(upstream.images) == 1


@pytest.mark.parametrize("step", [(Ledger, "record"), (Admissions, "_leaves")])
async def test_a_repetition_waits_to_hear_whether_the_call_that_was_left_is_sent(
    one: Here, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str]
) -> None:
    """Its client left just before it was too late to stop it, or just after."""
    owner, name = step
    inner, reached = getattr(owner, name), asyncio.Event()

    async def slowly(*arguments: Any, **options: Any) -> Any:
        if not reached.is_set():
            reached.set()
            await asyncio.sleep(0.3)
        return await inner(*arguments, **options)

    monkeypatch.setattr(owner, name, slowly)
    upstream.plan(on.ok(delay=0.3, bytes=700_000))
    async with connected(one):
        await reached.wait()
    again = await ask(one)
    assert (again.status_code, len(again.content)) == (200, 700_000)
    assert ("x-imagegate-replayed" in again.headers) is (owner is Admissions)
    assert len(upstream.images) == 1


async def test_f47_a_retry_is_given_what_was_finished_meanwhile(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.2, bytes=700_000))
    await leave(one, upstream)
    (row,) = await until_results(one)
    assert 590 < (row["expires_at"] - row["ended_at"]) / 1e6 <= 600
    again = await ask(one, RETRY)
    assert (again.status_code, len(again.content)) == (200, 700_000)
    assert len(upstream.images) == 1


async def test_who_waits_for_an_orphan_that_is_lost_is_told_what_asking_again_does(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(delay=3.0))
    await leave(one, upstream)
    waiting = asyncio.create_task(ask(one, RETRY))
    while not [row for row in await one.rows("results", settle=0) if row["claimed_by"]]:
        await asyncio.sleep(0.02)
    await one.gateway.ledger.results.lapse(datetime.now(UTC), timedelta(days=7), all_running=True)
    lost = await waiting
    assert (lost.status_code, lost.json()["error"]["code"]) == (504, "result_unknown")
    assert lost.headers["x-should-retry"] == "false"
    assert "billed, anew" in lost.json()["error"]["message"]
    assert "key" not in lost.json()["error"]["message"]


async def test_nobody_is_given_the_picture_of_another_end_user_of_the_same_key(
    upstream: Upstream, tmp_path: Path
) -> None:
    header = {"end_user_header": "x-openwebui-user-id"}
    async with budgeted(upstream, tmp_path, project=header) as here:
        upstream.plan(on.ok(delay=0.3, bytes=700_000))
        async with connected(here, {"x-openwebui-user-id": "alice"}):
            await upstream.wait_for(1)
        await until_results(here)
        bob = await ask(here, {**RETRY, "x-openwebui-user-id": "bob"})
        assert "x-imagegate-replayed" not in bob.headers
        alice = await ask(here, {**RETRY, "x-openwebui-user-id": "alice"})
        assert len(alice.content) == 700_000
    assert len(upstream.images) == 2


async def test_each_orphan_is_had_once(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.3, bytes=700_000))
    await leave(one, upstream)
    answers = await asyncio.gather(*(ask(one, RETRY) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(len(answer.content) == 700_000 for answer in answers) == [False, False, True]
    assert len(upstream.images) == 3


async def test_another_call_is_no_retry(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.3))
    await leave(one, upstream)
    other = await ask(one, RETRY, prompt="a blue kite")
    assert "x-imagegate-replayed" not in other.headers
    assert len(upstream.images) == 2


async def test_a_delivered_call_is_never_joined(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(bytes=3_000_000))
    await ask(one)
    for headers in (RETRY, {}):
        assert "x-imagegate-replayed" not in (await ask(one, headers)).headers
    assert len(upstream.images) == 3
    assert await one.rows("results") == []


async def test_a_client_that_closes_with_the_last_byte_has_its_answer(one: Here, upstream: Upstream) -> None:
    """What it asks next is another call, however soon it asks, and however small its answer was."""
    for number in range(20):
        async with connected(one, response_format="url") as reader:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            await reader.readexactly(length)
        assert len(upstream.images) == number + 1
    assert await one.rows("results") == []


async def test_a_running_call_whose_client_is_there_is_never_joined(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.4), on.ok())
    first = asyncio.create_task(ask(one))
    await upstream.wait_for(1)
    assert "x-imagegate-replayed" not in (await ask(one, RETRY)).headers
    assert (await first).status_code == 200
    assert len(upstream.images) == 2


async def test_f66_a_repetition_beside_a_client_that_is_there_is_counted(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(delay=0.4), on.ok())
    with capture_logs() as logs:
        first = asyncio.create_task(ask(one))
        await upstream.wait_for(1)
        second = await ask(one)
        pair = [second.headers["x-request-id"], (await first).headers["x-request-id"]]
    (found,) = [entry for entry in logs if entry["event"] == "suspected_duplicate"]
    assert [found["request_id"], found["of"]] == pair
    assert len(upstream.images) == 2


async def test_f66_a_mesh_that_repeats_a_call_of_a_closed_connection_pays_once(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(delay=0.5))
    await leave(one, upstream)
    again = await ask(one, {"x-envoy-attempt-count": "2"})
    assert again.headers["x-imagegate-replayed"] == "true"
    assert len(upstream.images) == 1


async def test_four_identical_calls_of_which_one_client_drops_are_four_pictures(
    one: Here, upstream: Upstream
) -> None:
    sizes = [600_000, 610_000, 620_000, 630_000]
    upstream.plan(*(on.ok(delay=0.8, bytes=size) for size in sizes))
    others = [asyncio.create_task(ask(one)) for _ in range(3)]
    await upstream.wait_for(3)
    await leave(one, upstream)
    retry = await ask(one, RETRY)
    answers = [*(await asyncio.gather(*others)), retry]
    assert sorted(len(answer.content) for answer in answers) == sizes
    assert retry.headers["x-imagegate-replayed"] == "true"
    assert len(upstream.images) == 4
    assert len(await one.rows("attempts")) == 4


async def test_whoever_claimed_it_and_left_gives_it_back(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=1.0, bytes=700_000))
    await leave(one, upstream)
    async with connected(one, RETRY):
        await until_results(one, 1, "claimed_by")
    while [row for row in await one.rows("results", settle=0) if row["claimed_by"]]:
        await asyncio.sleep(0.02)
    again = await ask(one, RETRY)
    assert (len(again.content), again.headers["x-imagegate-replayed"]) == (700_000, "true")
    assert len(upstream.images) == 1


async def test_a_client_that_leaves_in_the_middle_of_its_answer_may_have_it_whole(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(bytes=40_000_000))
    async with connected(one) as reader:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    await until_results(one)
    again = await ask(one, RETRY)
    assert (again.status_code, len(again.content)) == (200, 40_000_000)
    assert len(upstream.images) == 1
    assert one.gateway.room.in_memory == 0


@pytest.mark.parametrize("before", [True, False])
async def test_a_stream_that_was_left_is_had_as_its_completed_event(
    one: Here, upstream: Upstream, before: bool
) -> None:
    upstream.plan(on.ok(event_delay=0.2, bytes=None if before else 20_000_000))
    async with connected(one, stream=True, partial_images=1) as reader:
        await upstream.wait_for(1)
        if not before:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    await until_results(one)
    again = await ask(one, RETRY, stream=True, partial_images=1)
    names = [line[7:] for line in again.text.splitlines() if line.startswith("event: ")]
    assert names == ["image_generation.completed"]
    assert len(upstream.images) == 1
    assert one.gateway.room.in_memory == 0


async def test_an_orphan_that_made_nothing_is_made_by_its_retry(one: Here, upstream: Upstream) -> None:
    upstream.plan(*[on.error("server_error", delay=0.3)] * 3)
    async with connected(one):
        await upstream.wait_for(1)
    await until_orphaned(one)
    upstream.plan(on.ok())
    again = await ask(one, RETRY)
    assert again.status_code in (200, 500)
    assert "x-imagegate-replayed" not in again.headers
    assert await one.rows("results") == []


async def test_f35_f47_a_late_answer_is_had_by_the_retry_of_its_time_out(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LATE", 20.0)
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, deadline="1500ms"), tmp_path) as here:
        upstream.plan(on.ok(delay=2.2, bytes=700_000))
        first = await ask(here)
        assert (first.status_code, first.json()["error"]["code"]) == (504, "upstream_timeout")
        assert first.headers["x-should-retry"] == "false"
        again = await ask(here)
        assert (again.status_code, len(again.content)) == (200, 700_000)
        assert again.headers["x-imagegate-replayed"] == "true"
        assert len(upstream.images) == 1
        (attempt,) = await here.rows("attempts")
        assert attempt["state"] == "settled"


async def test_f47_a_late_answer_under_a_key_is_waited_for(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    keyed = {"idempotency-key": "k"}
    async with gateway_here(config(upstream, deadline="1500ms"), tmp_path) as here:
        upstream.plan(on.ok(delay=2.2, bytes=700_000))
        assert (await ask(here, keyed)).status_code == 504
        again = await ask(here, keyed)
        assert (again.status_code, len(again.content)) == (200, 700_000)
        assert len(upstream.images) == 1


async def test_a_call_that_nobody_had_sent_when_its_client_left_is_no_orphan(
    one: Here, upstream: Upstream
) -> None:
    async with connected(one):
        pass
    await asyncio.sleep(0.3)
    rows = await one.rows("results")
    assert len(rows) == len(upstream.images)
