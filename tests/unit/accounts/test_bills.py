"""A provider's figures, as they come: OpenAI's pages of costs, and CSV files of any header."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.ledger.accounts.bills import UnreadableBill, from_costs, from_csv

DAY = date(2026, 11, 5)


def bucket(day: date, *results: tuple[str | None, object]) -> dict[str, Any]:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return {
        "object": "bucket",
        "start_time": start,
        "end_time": start + 86_400,
        "results": [
            {
                "object": "organization.costs.result",
                "amount": {"value": value, "currency": "usd"},
                "line_item": item,
                "project_id": None,
                "quantity": None,
            }
            for item, value in results
        ],
    }


def page(*buckets: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "page", "data": list(buckets), "has_more": more, "next_page": "p2" if more else None}


def test_line_items_of_a_model_add_up_without_a_float() -> None:
    told = page(
        bucket(
            DAY,
            ("gpt-image-2, input_tokens", 0.1),
            ("gpt-image-2, image output tokens", 0.2),
            ("gpt-6-astra, input_tokens", 1e-9),
        ),
        bucket(date(2026, 11, 6)),
    )
    bill = from_costs(json.dumps(told))
    assert bill.amounts == {(DAY, "gpt-image-2"): 300_000_000, (DAY, "gpt-6-astra"): 1}
    assert bill.by_model
    assert bill.days == {DAY, date(2026, 11, 6)}


def test_several_pages_are_one_bill() -> None:
    one, other = (page(bucket(DAY, ("m, images", value)), more=value == 1) for value in (1, 2))
    assert from_costs(json.dumps([one, other])).amounts == {(DAY, "m"): 3_000_000_000}


def test_costs_without_line_items_are_of_the_day() -> None:
    bill = from_costs(json.dumps(page(bucket(DAY, (None, "0.06")))))
    assert (bill.amounts, bill.by_model) == ({(DAY, "*"): 60_000_000}, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("{}", "not a page"),
        ("[3]", "not a page"),
        (json.dumps(page(bucket(DAY), more=True)), "has_more"),
        (json.dumps(page(bucket(DAY, ("m", 1), (None, 1)))), "line_item"),
        (json.dumps(page(bucket(DAY, ("m", "x")))), "amount of 'x'"),
        (json.dumps(page(bucket(DAY, ("m", "NaN")))), "not a number"),
        (json.dumps(page({"results": []})), "start_time"),
        (json.dumps(page(bucket(DAY, ("m", 1)))).replace("usd", "eur"), "in eur"),
    ],
)
def test_costs_that_cannot_be_read_say_why(text: str, said: str) -> None:
    with pytest.raises(UnreadableBill, match=said):
        from_costs(text)


def test_a_csv_of_any_header() -> None:
    text = (
        "\ufeffUsage Date,SKU,Amount (USD),x\r\n"
        "2026-11-05,img-2,$1.25,\r\n"
        '2026-11-05T23:30:00-02:00,img-2,"1,000.000000001",\r\n'
        "2026-11-05,img-3,,\r\n"
        ",,,\r\n"
    )
    bill = from_csv(text, {"day": "Usage Date", "model": "SKU", "cost": "Amount (USD)"})
    assert bill.amounts == {
        (DAY, "img-2"): 1_250_000_000,
        (date(2026, 11, 6), "img-2"): 1_000_000_000_001,
        (DAY, "img-3"): 0,
    }
    assert bill.days == {DAY, date(2026, 11, 6)}


def test_a_csv_without_models_is_of_the_day() -> None:
    bill = from_csv("day,cost\n2026-11-05,1\n2026-11-05,2\n")
    assert (bill.amounts, bill.by_model) == ({(DAY, "*"): 3_000_000_000}, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column 'day'"),
        ("day,model\n", "has no column 'cost'"),
        ("day,cost\nyesterday,1\n", "Row 2"),
        ("day,cost\n2026-11-05,much\n", "Row 2"),
        ("day,cost\n2026-11-05,inf\n", "not a number"),
        ("day,model,cost\n2026-11-05,m,1\n2026-11-05,,1\n", "name a model"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(UnreadableBill, match=said):
        from_csv(text)
