"""A ledger that is away for a moment costs nobody the picture that was made meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.engine import following
from gateway.errors import Unavailable
from gateway.ledger import arrears
from gateway.ledger.results import Result
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.leaving import RETRY, ask, connected, until_results
from tests.contract.upstreams_here import config
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

KEYED = {"idempotency-key": "order-4712"}

Away = Callable[[str, int], list[int]]


@pytest_asyncio.fixture
async def here(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setattr(following, "AGAIN_SECONDS", (0.1, 0.1))
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as opened:
        yield opened


@pytest.fixture
def away(here: Here, monkeypatch: pytest.MonkeyPatch) -> Away:
    """The first so many of these steps on the rows of results find no ledger; all that were made, in a list
    that grows."""

    def failing(name: str, times: int) -> list[int]:
        rows = here.gateway.ledger.results
        inner, made = getattr(rows, name), []

        async def step(*arguments: Any) -> Any:
            made.append(len(made))
            if len(made) <= times:
                raise Unavailable("away", code="ledger_unavailable")
            return await inner(*arguments)

        monkeypatch.setattr(rows, name, step)
        return made

    return failing


async def test_a_key_has_its_answer_as_soon_as_the_ledger_is_back(
    here: Here, upstream: Upstream, away: Away
) -> None:
    made = away("finish", 10)
    first = await ask(here, KEYED)
    assert first.status_code == 200
    assert 0 < len(made) <= 10  # its own client waits for no ledger
    again = await ask(here, KEYED)
    assert (again.content, again.headers["x-imagegate-replayed"]) == (first.content, "true")
    assert (len(made), len(upstream.images)) == (11, 1)


async def test_an_end_that_was_written_though_nobody_heard_so_is_not_taken_back(
    here: Here, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, made = here.gateway.ledger.results, []
    inner = rows.finish

    async def deaf(*arguments: Any) -> bool:
        made.append(await inner(*arguments))
        if len(made) == 1:
            raise Unavailable("away", code="ledger_unavailable")
        return made[-1]

    monkeypatch.setattr(rows, "finish", deaf)
    first = await ask(here, KEYED)
    async with asyncio.timeout(10):
        while len(made) < 2:
            await asyncio.sleep(0.02)
    again = await ask(here, KEYED)
    assert (again.status_code, again.content) == (200, first.content)
    assert (made, len(upstream.images)) == ([True, True], 1)


async def test_an_orphan_is_known_as_soon_as_the_ledger_is_back(
    here: Here, upstream: Upstream, away: Away
) -> None:
    made = away("leave", 3)
    upstream.plan(on.ok(delay=0.2, bytes=700_000))
    async with connected(here):
        await upstream.wait_for(1)
    again = await ask(here, RETRY)
    assert (len(again.content), again.headers["x-imagegate-replayed"]) == (700_000, "true")
    assert (len(made), len(upstream.images)) == (4, 1)


async def test_a_key_whose_call_made_nothing_is_free_as_soon_as_the_ledger_is_back(
    here: Here, upstream: Upstream, away: Away
) -> None:
    made = away("forget", 2)
    upstream.plan(on.error("server_error"), on.error("server_error"), on.ok(bytes=700_000))
    first = await ask(here, KEYED)
    assert first.status_code == 500
    again = await ask(here, KEYED)
    assert (again.status_code, len(again.content)) == (200, 700_000)
    assert "x-imagegate-replayed" not in again.headers
    assert len(made) == 3


async def test_who_could_not_be_told_gives_its_orphan_back_as_soon_as_the_ledger_is_back(
    here: Here, upstream: Upstream, away: Away
) -> None:
    upstream.plan(on.ok(delay=0.3, bytes=700_000))
    async with connected(here):
        await upstream.wait_for(1)
    looked, given_back = away("get", 1), away("unclaim", 2)
    told = await ask(here, RETRY)
    assert (told.status_code, told.headers["x-should-retry"]) == (503, "true")
    async with asyncio.timeout(10):
        while len(given_back) < 3:
            await asyncio.sleep(0.02)
    again = await ask(here, RETRY)
    assert (len(again.content), again.headers["x-imagegate-replayed"]) == (700_000, "true")
    assert looked
    assert len(upstream.images) == 1


async def test_who_is_told_of_a_time_out_does_not_wait_for_the_ledger(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its call may be claimed is written as soon as the ledger is back, with nobody waiting."""
    monkeypatch.setattr(following, "AGAIN_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(following, "LEAVING_SECONDS", 0.2)
    (tmp_path / "key1").write_text(upstream.key)
    upstream.plan(on.ok(delay=2.5, bytes=700_000))
    async with gateway_here(config(upstream, deadline="1500ms"), tmp_path) as here:
        rows = here.gateway.ledger.results
        leave, back = rows.leave, asyncio.Event()

        async def away(row: Result) -> None:
            if not back.is_set():
                raise Unavailable("away", code="ledger_unavailable")
            await leave(row)

        monkeypatch.setattr(rows, "leave", away)
        async with asyncio.timeout(15):
            told = await ask(here)
        assert (told.status_code, told.json()["error"]["code"]) == (504, "upstream_timeout")
        back.set()
        await until_results(here)
        again = await ask(here, RETRY)
        assert (len(again.content), again.headers["x-imagegate-replayed"]) == (700_000, "true")
        assert len(upstream.images) == 1


async def test_who_is_refused_while_the_ledger_is_away_for_long_leaves_nothing_behind(
    here: Here, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of refusals fit in memory, and are no work when the ledger is back."""
    monkeypatch.setattr(arrears, "MOST_WAITING", 3)
    ledger, asked = here.gateway.ledger, []

    async def away(*rows: object, **options: object) -> None:
        asked.append(rows)
        raise Unavailable("away", code="ledger_unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._writer, "write", away)
        for number in range(8):
            refused = await ask(here, prompt=f"number {number}")
            assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "true")
            assert refused.json()["error"]["code"] == "ledger_unavailable"
        assert ledger.arrears[0] == 3
        assert len(here.gateway.keeping.keeper.watched) == 0
    async with asyncio.timeout(10):
        while ledger.arrears[0]:
            await asyncio.sleep(0.05)
    assert asked
    assert (await ask(here)).status_code == 200
    assert len(upstream.images) == 1
