from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli.usage import money
from gateway.ledger.administration import dollars
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState
from tests.unit.cli.conftest import Run, parsed
from tests.unit.ledger.entries import attempt, end, request, request_end

NOW = datetime.now(UTC)


@pytest.fixture
def spent(config: Path) -> None:
    """Two pictures today under one model, one of unknown cost 40 days ago under another."""

    async def fill() -> None:
        ledger = await Ledger.open("sqlite:///data/imagegate.db", config.parent)
        for name in "ab":
            await ledger.record(request(name, received_at=NOW), attempt(name))
            await ledger.record(end(f"{name}/1"), request_end(name))
        await ledger.record(request("c", received_at=NOW - timedelta(days=40), model="other"), attempt("c"))
        await ledger.record(end("c/1", AttemptState.UNKNOWN, None), request_end("c", 504, None, 0))
        await ledger.close()

    asyncio.run(fill())


@pytest.mark.usefixtures("spent")
def test_the_table_shows_groups_totals_and_dollars(run: Run) -> None:
    shown = run("usage", "--days", "90").stdout
    assert "$0.4216" in shown
    assert "unknown" in shown
    (total,) = [line for line in shown.splitlines() if line.strip().startswith("total")]
    assert total.split() == ["total", "3", "1", "2", "33", "21,072", "$0.4216", "1"]


@pytest.mark.usefixtures("spent")
def test_json_has_exact_amounts_and_unknown_is_null(run: Run) -> None:
    report = parsed(run("usage", "--days", "90", "--by", "model", "--json"))
    rows = {row["model"]: row for row in report["rows"]}
    assert (rows["gpt-image-2"]["cost_usd"], rows["gpt-image-2"]["cost_nano_usd"]) == ("0.42155", 421_550_000)
    assert (rows["other"]["cost_usd"], rows["other"]["cost_nano_usd"]) == (None, None)
    assert (rows["other"]["unknown_cost"], rows["other"]["failed"]) == (1, 1)
    assert report["by"] == ["model"]
    assert report["timezone"] == "Europe/Vienna"
    assert report["total"]["requests"] == 3


@pytest.mark.usefixtures("spent")
def test_thirty_days_are_the_default_and_a_day_is_whole(run: Run) -> None:
    assert parsed(run("usage", "--json"))["total"]["requests"] == 2
    report = parsed(run("usage", "--json", "--since", "2026-03-29", "--until", "2026-03-29"))
    assert (report["since"], report["until"]) == ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00")


def test_a_span_without_requests_is_an_empty_table(run: Run) -> None:
    result = run("usage")
    assert result.exit_code == 0
    assert "$0.0000" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "colour"), "day, key, model"),
        (("--days", "0"), "whole number"),
        (("--days", "3", "--since", "2026-01-01"), "not both"),
        (("--since", "yesterday"), "2026-11-20"),
        (("--since", "2026-11-21", "--until", "2026-11-20"), "before"),
        (("--days", "99999999"), "reaches back"),
        (("--days", "9999"), "at most"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_what_would(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    result = run("usage", *words)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(
    ("nano", "table", "exact"),
    [
        (None, "unknown", None),
        (0, "$0.0000", "0.00"),
        (1, "$0.000000001", "0.000000001"),
        (99_999, "$0.000099999", "0.000099999"),
        (100_000, "$0.0001", "0.0001"),
        (210_720_000, "$0.2107", "0.21072"),
        (999_950_000, "$1.0000", "0.99995"),
        (1_234_567_890_000_000, "$1,234,567.8900", "1234567.89"),
        (3_000_000_000, "$3.0000", "3.00"),
    ],
)
def test_money_is_written_without_a_float(nano: int | None, table: str, exact: str | None) -> None:
    assert (money(nano), dollars(nano)) == (table, exact)
