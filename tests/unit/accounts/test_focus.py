"""FOCUS 1.2: the columns it demands, the values it allows, and what it forbids to be null."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from gateway.ledger.accounts.focus import COLUMNS, Focus, Period
from gateway.ledger.accounts.lines import Line
from tests.unit.accounts.made import line

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
NULLABLE = {"ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}

PERIOD = Period(
    "acme", "Europe/Vienna", datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)
)
CREDIT = line(
    kind="credit", line_id="credit_1", attempt_id="", provider="", upstream_model="", model="",
    operation="", size="", quality="", state="", images=None, cost=-5_000_000_000, price_version="",
    note="an outage", input_tokens=None, input_text_tokens=None, output_tokens=None, total_tokens=None,
)  # fmt: skip
ADJUSTMENT = line(kind="adjustment", line_id="r/1#adjustment", day="2026-12-03", unknown=-250_000_000)
LATE = line(kind="late", line_id="r/1#late", day="2026-12-01")
UNKNOWN = line(state="unknown", cost=None, unknown=250_000_000, images=None, price_version="")
ALL = [line(), CREDIT, ADJUSTMENT, LATE, UNKNOWN]


def test_every_mandatory_column_is_there_once_and_own_ones_come_last() -> None:
    assert set(COLUMNS) >= MANDATORY
    assert len(set(COLUMNS)) == len(COLUMNS)
    own = [name.startswith("x_") for name in COLUMNS]
    assert own == sorted(own)
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]{1,49}", name) for name in COLUMNS)


@pytest.mark.parametrize("made", ALL, ids=lambda made: made.kind + made.state)
def test_what_may_not_be_null_is_not(made: Line) -> None:
    facts = Focus(PERIOD).facts(made)
    assert tuple(facts) == COLUMNS
    assert {name for name in MANDATORY - NULLABLE if not facts[name]} == set()
    assert facts["ChargeCategory"] in {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
    assert facts["ChargeClass"] in {"", "Correction"}
    assert facts["ServiceCategory"] == "AI and Machine Learning"
    assert facts["ServiceSubcategory"] == "Generative AI"
    assert facts["ChargeFrequency"] in {"One-Time", "Recurring", "Usage-Based"}
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        assert bool(facts[quantity]) == bool(facts[unit]) == (facts["ChargeCategory"] == "Usage")
    for name in (name for name in COLUMNS if name.endswith(("PeriodStart", "PeriodEnd"))):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts[name])
    for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert re.fullmatch(r"-?\d+\.\d{9}", facts[name])
    assert facts["ChargePeriodStart"] < facts["ChargePeriodEnd"]


def test_a_day_and_a_month_are_the_organisations_told_in_utc() -> None:
    facts = Focus(PERIOD).facts(line())
    assert (facts["BillingPeriodStart"], facts["BillingPeriodEnd"]) == (
        "2026-10-31T23:00:00Z",
        "2026-11-30T23:00:00Z",
    )
    assert (facts["ChargePeriodStart"], facts["ChargePeriodEnd"]) == (
        "2026-11-19T23:00:00Z",
        "2026-11-20T23:00:00Z",
    )


def test_what_came_after_the_close_is_a_correction_of_the_day_of_its_admission() -> None:
    for made in (ADJUSTMENT, LATE):
        facts = Focus(PERIOD).facts(made)
        assert (facts["ChargeCategory"], facts["ChargeClass"]) == ("Usage", "Correction")
        assert facts["ChargePeriodStart"] == "2026-11-19T23:00:00Z"


def test_a_credit_is_negative_and_has_no_quantity() -> None:
    facts = Focus(PERIOD).facts(CREDIT)
    assert (facts["ChargeCategory"], facts["BilledCost"]) == ("Credit", "-5.000000000")
    assert (facts["SkuId"], facts["ConsumedQuantity"], facts["Tags"]) == ("", "", "")


def test_an_unknown_cost_is_told_in_a_column_of_our_own() -> None:
    facts = Focus(PERIOD).facts(UNKNOWN)
    assert (facts["BilledCost"], facts["x_UnknownCost"]) == ("0.000000000", "0.250000000")
    assert facts["SkuPriceId"].endswith("@unpriced")


def test_labels_and_request_tags_are_tags_of_two_schemes() -> None:
    made = line(labels={"team": "red"}, tags={"team": "=blue", "run": "7"})
    facts = Focus(PERIOD).facts(made)
    assert json.loads(facts["Tags"]) == {"team": "red", "request/team": "=blue", "request/run": "7"}


def test_no_cell_is_a_formula() -> None:
    evil = "=1+1"
    made = line(project=evil, key=evil, note=evil, model=evil, provider=evil, size=evil, flags=evil)
    cells = dict(zip(COLUMNS, Focus(PERIOD).cells(made), strict=True))
    assert [name for name, cell in cells.items() if cell.startswith(("=", "+", "@"))] == []
    assert dict(zip(COLUMNS, Focus(PERIOD).cells(CREDIT), strict=True))["BilledCost"] == "-5.000000000"
