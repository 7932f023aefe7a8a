from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.cli.books import fill, order
from tests.unit.cli.conftest import parsed


def test_months_are_closed_in_order_or_with_those_before(config: Path) -> None:
    fill(config.parent)
    refused = order(config, "close", "--month", "2024-10")
    assert refused.exit_code == 1
    assert "2024-08 is open" in refused.stderr
    closed = parsed(order(config, "close", "--month", "2024-10", "--with-earlier", "--who", "anna", "--json"))
    assert [(month["month"], month["lines"], month["already"]) for month in closed["months"]] == [
        ("2024-08", 3, False),
        ("2024-09", 1, False),
        ("2024-10", 0, False),
    ]
    listed = order(config, "close", "--list")
    assert listed.exit_code == 0
    assert "The oldest open month is 2024-11." in listed.stdout
    assert "0.310775000" in listed.stdout
    assert [month["closed_by"] for month in parsed(order(config, "close", "--list", "--json"))["months"]] == [
        "anna"
    ] * 3


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "--month, or --list"),
        (("--month", "2024-08", "--list"), 2, "--month, or --list"),
        (("--month", "x"), 1, "2026-11"),
        (("--month", "2024-08"), 1, "empty"),
        (("--month", f"{datetime.now(UTC):%Y-%m}"), 1, "can be closed from"),
        (("--month", "2024-08", "--who", "\t"), 1, "who"),
    ],
)
def test_what_cannot_be_closed_says_why(config: Path, words: tuple[str, ...], status: int, said: str) -> None:
    result = order(config, "close", *words)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())
