"""A CSV that any reader reads, and that runs nothing."""

from __future__ import annotations

import csv
import io

import pytest

from gateway.ledger.accounts.columns import NUMBERS, Columns
from gateway.ledger.accounts.lines import Line
from gateway.ledger.accounts.money import exact, nano
from gateway.ledger.accounts.sheet import Sheet, safe
from tests.unit.accounts.made import line


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "  @x", "\uff1d1", "\0=1",
        '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0",
    ],
)  # fmt: skip
def test_a_text_that_begins_like_a_formula_is_only_text(text: str) -> None:
    assert safe(text) == "'" + text


@pytest.mark.parametrize("text", ["", "growth", "a=b", "1-2", "gpt-image-2", "ü", "{}", "'x"])
def test_any_other_text_is_left_alone(text: str) -> None:
    assert safe(text) == text


def test_rows_are_rfc_4180() -> None:
    sink = io.StringIO(newline="")
    Sheet(sink).row(["plain", 'say "x"', "a,b", "two\r\nlines", ""])
    assert sink.getvalue() == 'plain,"say ""x""","a,b","two\r\nlines",\r\n'


def rows_of(columns: Columns, *lines: Line) -> list[dict[str, str]]:
    sink = io.StringIO(newline="")
    sheet = Sheet(sink)
    sheet.row(columns.header)
    for each in lines:
        sheet.row(columns.cells(each))
    return list(csv.DictReader(io.StringIO(sink.getvalue(), newline="")))


def test_labels_and_tags_are_columns_and_nobodys_word_is_a_formula() -> None:
    evil = "=cmd|' /C calc'!A0"
    made = line(
        labels={"cost_center": "4711", "=x": "y"}, tags={"run": evil}, project=evil, key=evil, note=evil,
        external_key_id="+43", size="-1x1",
    )  # fmt: skip
    columns = Columns(["=x", "cost_center"], ["run"])
    (row,) = rows_of(columns, made)
    assert row["label.cost_center"] == "4711"
    assert row["label.=x"] == "y"
    for name in ("tag.run", "project", "key", "note", "external_key_id", "size"):
        assert row[name].startswith("'"), name
    for name, value in row.items():
        if name not in NUMBERS:
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r")), name


def test_negative_amounts_stay_numbers_and_unknown_is_empty() -> None:
    adjusted, unknown = rows_of(
        Columns([], []), line(cost=-5, unknown=-210_775_000), line(cost=None, unknown=None)
    )
    assert (adjusted["cost_usd"], adjusted["unknown_usd"]) == ("-0.000000005", "-0.210775000")
    assert (unknown["cost_usd"], unknown["unknown_usd"]) == ("", "")


def test_the_columns_are_these() -> None:
    """A closed month's bytes hang on them: a change needs another ``lines.FORMAT``."""
    assert Columns(["team"], ["run"]).names == (
        "day", "kind", "project_id", "project", "key_id", "key", "external_key_id", "label.team", "tag.run",
        "model", "provider", "upstream_model", "operation", "size", "quality", "state", "images",
        "input_tokens", "input_text_tokens", "input_image_tokens", "cached_text_tokens",
        "cached_image_tokens", "output_tokens", "output_text_tokens", "output_image_tokens", "total_tokens",
        "cost_usd", "unknown_usd", "price_version", "flags", "note", "attempt_id", "line_id", "received_at",
        "made_at",
    )  # fmt: skip


def test_a_line_is_written_like_this_for_ever() -> None:
    columns = Columns(["team"], ["run"])
    assert ",".join(columns.cells(line(labels={"team": "red"}, tags={"run": "7"}))) == (
        "2026-11-20,usage,proj_growth,growth,key_1,ci,ext,red,7,gpt-image-2,openai,gpt-image-2,generations,"
        "1024x1024,high,settled,1,11,11,,,,7024,,,7035,0.210775000,0.000000000,2026-04-21,,,r/1,r/1,"
        "2026-11-20T12:00:00.123456Z,2026-11-20T12:00:00.123456Z"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.000000000"), (1, "0.000000001"), (-1, "-0.000000001"), (3 * 10**9, "3.000000000"),
     (2**60, "1152921504.606846976")],
)  # fmt: skip
def test_money_has_nine_decimals(amount: int, text: str) -> None:
    assert exact(amount) == text


@pytest.mark.parametrize(
    ("text", "amount"), [("5", 5 * 10**9), ("0.50", 5 * 10**8), ("-0.000000001", -1), ("1e-9", 1)]
)
def test_dollars_are_read_exactly(text: str, amount: int) -> None:
    assert nano(text) == amount


@pytest.mark.parametrize("text", ["", "five", "0.0000000001", "nan", "inf", "1e30", "1_0x", "$5"])
def test_what_is_no_amount_of_dollars_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (no amount|too much)"):
        nano(text)
