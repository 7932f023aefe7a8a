from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.cli.books import month_of, order
from tests.unit.cli.conftest import parsed

GIVE = ("credit", "--scope", "project:growth", "--usd", "5", "--reason", "an outage")


def test_a_credit_is_given_listed_and_taken_back(config: Path) -> None:
    given = parsed(order(config, *GIVE, "--who", "anna", "--json"))
    assert (given["scope"], given["usd"], given["who"]) == ("project:proj_growth", "5.000000000", "anna")
    assert order(config, *GIVE).stdout.endswith(": $5.000000000 for project:proj_growth.\n")
    taken = order(config, "credit", "--void", given["id"], "--reason", "typing error", "--json")
    assert parsed(taken)["usd"] == "-5.000000000"
    listed = order(config, "credit", "--list")
    assert listed.exit_code == 0
    assert f"takes back {given['id']}" in listed.stdout
    assert "All 3 entries of the journal are as they were signed." in listed.stdout


def test_a_credit_of_another_amount_than_was_signed_is_told(config: Path) -> None:
    given = parsed(order(config, *GIVE, "--json"))
    with sqlite3.connect(config.parent / "data" / "imagegate.db") as database:
        database.execute("UPDATE credits SET amount = amount * 100")
    result = order(config, "credit", "--list")
    assert result.exit_code == 1
    assert f"Not as the journal says: {given['id']}." in result.stdout


def test_a_credit_is_a_line_of_this_months_export(config: Path) -> None:
    given = parsed(order(config, *GIVE, "--json"))
    told = parsed(order(config, "export", "--month", month_of(given["entered_at"]), "--json"))
    (line,) = told["lines"]
    assert (line["kind"], line["cost_usd"], line["line_id"]) == ("credit", "-5.000000000", given["id"])
    assert (told["totals"]["cost_usd"], told["totals"]["total_usd"]) == ("0.000000000", "-5.000000000")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "--scope and --usd, or --void, or --list"),
        (("--scope", "organization"), 2, "--scope and --usd"),
        (("--scope", "organization", "--usd", "1", "--void", "x"), 2, "--scope and --usd"),
        (("--scope", "organization", "--usd", "1"), 2, "--reason"),
        (("--scope", "team:x", "--usd", "1", "--reason", "r"), 1, "project:NAME"),
        (("--scope", "project:none", "--usd", "1", "--reason", "r"), 1, "growth, art"),
        (("--scope", "organization", "--usd", "0", "--reason", "r"), 1, "more than nothing"),
        (("--scope", "organization", "--usd", "-3", "--reason", "r"), 1, "more than nothing"),
        (("--scope", "organization", "--usd", "five", "--reason", "r"), 1, "nine decimals"),
        (("--scope", "organization", "--usd", "0.0000000001", "--reason", "r"), 1, "nine decimals"),
        (("--void", "credit_x", "--reason", "r"), 1, "no credit 'credit_x'"),
    ],
)
def test_what_cannot_be_given_says_why(config: Path, words: tuple[str, ...], status: int, said: str) -> None:
    result = order(config, "credit", *words)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())


def test_a_credit_for_an_alias_of_a_model_is_one_for_the_model(config: Path) -> None:
    config.write_text("providers: {openai: {type: openai, api_key: env:NONE}}\n")
    words = ("--scope", "organization", "--usd", "1", "--reason", "r", "--json")
    for model in ("gpt-image-2", "gpt-image-2-2026-04-21"):
        given = parsed(order(config, "credit", *words, "--model", model))
        assert given["scope"] == "org@gpt-image-2"
