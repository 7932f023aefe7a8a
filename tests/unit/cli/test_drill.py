"""The drill: what it admits, what it prints, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from click.testing import CliRunner

from gateway.cli import drill
from gateway.quota.connection import connect
from tests.servers import free_port


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(drill.drill, ["budget", *words])
    return result.exit_code, result.stdout


def test_a_dollar_pays_for_exactly_four_of_sixty_four_parallel_calls() -> None:
    status, text = run("--json")
    told = json.loads(text)
    assert status == 0
    assert (told["ok"], told["admitted"], told["refused"], told["failed"]) == (True, 4, 60, 0)
    assert told["call_holds_usd"] == "0.210845"
    assert told["overspent_usd"] == told["held_usd"] == told["unknown_usd"] == "0"
    assert Decimal("0.84288") < Decimal(told["spent_usd"]) <= Decimal("0.84338")
    assert told["ledger_usd"] == told["spent_usd"]
    assert Decimal(told["spent_usd"]) <= Decimal(told["most_usd"]) <= 1


async def test_it_drills_a_redis_and_leaves_nothing_in_it(redis_server: str) -> None:
    link = connect(redis_server)
    await link.set("somebody:else", "1")
    before = sorted(await link.keys("*"))
    status, text = await asyncio.to_thread(run, "--calls", "12", "--usd", "0.5", "--quota", redis_server)
    assert status == 0, text
    assert "the limit held" in text
    assert sorted(await link.keys("*")) == before
    await link.delete("somebody:else")
    await link.aclose()


def test_a_redis_that_is_not_there_is_told() -> None:
    result = CliRunner().invoke(
        drill.drill, ["budget", "--calls", "2", "--quota", f"redis://127.0.0.1:{free_port()}/0"]
    )
    assert result.exit_code == 1
    assert "cannot tell where its limit stands" in " ".join(result.stderr.replace("│", " ").split())


def result(spent: str = "1", most: str = "1", ledger: str = "1", failed: int = 0) -> drill._Result:
    return drill._Result(
        calls=1,
        limit=Decimal(1),
        needed=None,
        admitted=1,
        refused=0,
        failed=failed,
        spent=Decimal(spent),
        held=Decimal(0),
        unknown=Decimal(0),
        most=Decimal(most),
        ledger=Decimal(ledger),
        seconds=0.1,
    )


def test_a_limit_that_did_not_hold_is_a_failure() -> None:
    """Whether the counters tell it or the ledger alone; and so is a call that failed."""
    assert result().held_good
    assert result().overspent == Decimal(0)
    assert result(most="1.1").overspent == Decimal("0.1")
    assert result(ledger="1.25").overspent == Decimal("0.25")
    for bad in (result(most="1.1"), result(ledger="1.25"), result(spent="0.9"), result(failed=1)):
        assert not bad.held_good


def test_what_cannot_be_a_limit_is_told() -> None:
    result = CliRunner().invoke(drill.drill, ["budget", "--usd", "much"])
    assert result.exit_code == 2
    assert "--usd much" in " ".join(result.stderr.split())
