"""Many small steps, few commits; and a step that fails undoes nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, select

from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.tables import meta
from gateway.ledger.together import MOST, Together


def put(name: str) -> Any:
    def step(connection: Connection) -> str:
        connection.execute(meta.insert(), {"name": name, "value": "x"})
        return name

    return step


async def names(ledger: Ledger) -> set[str]:
    return set(await ledger._store.read(lambda connection: connection.scalars(select(meta.c.name)).all()))


async def test_steps_that_come_together_are_few_commits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, inner = [], ledger._store.write

    async def counted(work: Any) -> Any:
        commits.append(work)
        return await inner(work)

    monkeypatch.setattr(ledger._store, "write", counted)
    together = Together(ledger._store)
    wanted = [f"n{number}" for number in range(3 * MOST)]
    assert await asyncio.gather(*(together.write(put(name)) for name in wanted)) == wanted
    assert len(commits) <= 4
    assert set(wanted) <= await names(ledger)


async def test_a_step_that_fails_fails_alone(ledger: Ledger) -> None:
    together = Together(ledger._store)
    steps = [put("a"), put("b"), put("a"), put("c")]
    outcomes = await asyncio.gather(*map(together.write, steps), return_exceptions=True)
    assert [isinstance(each, Exception) for each in outcomes] == [False, False, True, False]
    assert {"a", "b", "c"} <= await names(ledger)


async def test_a_step_whose_caller_is_gone_is_taken_and_others_go_on(ledger: Ledger) -> None:
    together = Together(ledger._store)
    leaving = asyncio.create_task(together.write(put("left")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await together.write(put("stayed")) == "stayed"
    assert {"left", "stayed"} <= await names(ledger)


async def test_a_store_that_is_away_is_told_to_all(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(work: Any) -> Any:
        raise OSError("no route")

    monkeypatch.setattr(ledger._store, "write", away)
    together = Together(ledger._store)
    outcomes = await asyncio.gather(*(together.write(put(name)) for name in "xy"), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable, Unavailable]
