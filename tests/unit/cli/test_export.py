from __future__ import annotations

import csv
import io
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.cli.books import fill, order
from tests.unit.cli.conftest import parsed


@pytest.fixture
def filled(config: Path) -> Path:
    fill(config.parent)
    return config


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_columns_come_to_the_total_to_the_nano_dollar(filled: Path) -> None:
    result = order(filled, "export", "--month", "2024-08")
    assert result.exit_code == 0, result.output
    found = rows(result.stdout)
    assert sum(Decimal(row["cost_usd"] or 0) for row in found) == Decimal("0.310775000")
    assert sum(Decimal(row["unknown_usd"] or 0) for row in found) == Decimal("0.210000000")
    assert [row["project"] for row in found] == ["growth"] * 3
    assert (found[0]["label.team"], found[0]["tag.run"]) == ("'=red", "7")
    assert "3 lines, cost $0.310775000, unknown $0.210000000 (1 lines)" in result.stderr
    assert "open: figures can still change" in result.stderr
    assert result.stdout_bytes.count(b"\r\n") == 4


def test_a_closed_month_gives_the_same_bytes_for_ever(filled: Path) -> None:
    closed = order(filled, "close", "--month", "2024-08", "--who", "anna")
    assert closed.exit_code == 0, closed.output
    assert closed.stdout == (
        "2024-08 is closed: 3 lines, cost $0.310775000, unknown $0.210000000 (1 lines).\n"
    )
    forms = (["--format", "csv"], ["--format", "focus"], ["--json"], ["--by", "project,day"])
    before = [order(filled, "export", "--month", "2024-08", *form).stdout_bytes for form in forms]
    with sqlite3.connect(filled.parent / "data" / "imagegate.db") as database:
        database.execute("UPDATE attempts SET state = 'settled', cost = 7 WHERE attempt_id = 'u/1'")
        database.execute("UPDATE requests SET labels = NULL, key_id = 'x'")
    filled.write_text(filled.read_text().replace("name: growth", "name: renamed").replace("Vienna", "Rome"))
    assert [order(filled, "export", "--month", "2024-08", *form).stdout_bytes for form in forms] == before
    again = order(filled, "close", "--month", "2024-08", "--who", "otto")
    assert "was closed on" in again.stdout
    assert "by anna" in again.stdout


def test_json_is_one_document_whose_money_is_text(filled: Path) -> None:
    order(filled, "close", "--month", "2024-08")
    told = parsed(order(filled, "export", "--month", "2024-08", "--format", "json"))
    assert told["month"] == "2024-08"
    assert told["closed"]["lines"] == len(told["lines"]) == 3
    assert [line["cost_usd"] for line in told["lines"]] == ["0.210775000", "0.100000000", None]
    assert told["totals"]["total_usd"] == "0.310775000"
    assert told["closed"]["cost_usd"] == "0.310775000"


def test_groups_add_up_and_are_in_order(filled: Path) -> None:
    found = rows(order(filled, "export", "--month", "2024-08", "--by", "day, label.team,key").stdout)
    assert [(row["day"], row["label.team"], row["lines"]) for row in found] == [
        ("2024-08-03", "'=red", "1"),
        ("2024-08-04", "", "2"),
    ]
    assert found[1]["cost_usd"] == "0.100000000"
    assert (found[1]["unknown_usd"], found[1]["unknown_lines"]) == ("0.210000000", "1")
    told = parsed(order(filled, "export", "--month", "2024-08", "--by", "model", "--json"))
    assert [line["model"] for line in told["lines"]] == ["gpt-image-2"]


def test_focus_has_a_row_for_each_charge(filled: Path) -> None:
    found = rows(order(filled, "export", "--month", "2024-08", "--format", "focus").stdout)
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal("0.310775")
    assert {row["BillingPeriodStart"] for row in found} == {"2024-07-31T22:00:00Z"}
    assert json.loads(found[0]["Tags"]) == {"team": "=red", "request/run": "7"}


def test_a_file_appears_when_it_is_whole(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "august.csv"
    result = order(filled, "export", "--month", "2024-08", "--output", str(target))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert len(rows(target.read_bytes().decode())) == 3
    target.write_text("before")
    failed = order(filled, "export", "--month", "8024-08", "--output", str(target))
    assert failed.exit_code == 1
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_altered_lines_are_not_passed_on_as_true(filled: Path, tmp_path: Path) -> None:
    order(filled, "close", "--month", "2024-08")
    with sqlite3.connect(filled.parent / "data" / "imagegate.db") as database:
        database.execute(
            "UPDATE month_chunks SET body = (SELECT body FROM month_chunks WHERE number = 1) WHERE number = 0"
        )
    target = tmp_path / "august.csv"
    result = order(filled, "export", "--month", "2024-08", "--output", str(target))
    assert result.exit_code == 1
    assert "altered" in result.stderr
    assert not target.exists()


def test_an_empty_month_is_a_header(filled: Path) -> None:
    result = order(filled, "export", "--month", "2024-02")
    assert result.exit_code == 0
    assert rows(result.stdout) == []
    assert result.stdout.startswith("day,kind,project_id")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--month", "2024-13"), 1, "2026-11"),
        (("--month", "8024-01"), 1, "has not begun"),
        (("--month", "2024-08", "--by", "colour"), 2, "label.NAME"),
        (("--month", "2024-08", "--by", "day", "--format", "focus"), 2, "a row for each charge"),
    ],
)
def test_what_cannot_be_exported_says_why(
    filled: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    result = order(filled, "export", *words)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())
