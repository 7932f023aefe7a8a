"""What is charged in the end; failures by their row."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from gateway.images.amounts import NanoDollars, Usage
from gateway.images.pricing import Delivered
from gateway.images.settlement import CostSource, drifts, settle, settle_failed
from tests.unit.images.priced import DAY, call, entry, model, price_of, ranged, version

GPT_IMAGE_2 = entry("gpt-image-2")
PRICE = price_of(GPT_IMAGE_2)
HIGH = call(size="1024x1024", quality="high")
HELD = ranged(GPT_IMAGE_2, HIGH)
USAGE = Usage(input_tokens=11, input_text_tokens=11, input_image_tokens=0, output_tokens=7024)
COST = NanoDollars(210_720_000 + 11 * 5_000)


def test_usage_at_our_prices_is_what_is_charged() -> None:
    found = settle(PRICE, Delivered(1, USAGE), held=HELD)
    assert (found.cost, found.flags, found.price_version) == (COST, (), "2026-04-21")
    assert (found.catalogue, found.reported) == (None, None)


def test_f39_of_four_pictures_two_came_and_two_are_charged() -> None:
    described = model(version(per_image="0.04"))
    held = ranged(described, call(n=4))
    assert held.high == 160_000_000
    assert settle(described.prices[0], Delivered(2), held=held).cost == 80_000_000


def test_f39_tokens_are_charged_as_reported_however_many_came() -> None:
    held = ranged(GPT_IMAGE_2, call(size="1024x1024", quality="high", n=4))
    reported = Usage(input_text_tokens=22, output_tokens=2 * 7024)
    assert settle(PRICE, Delivered(2, reported), held=held).cost == 2 * 210_720_000 + 22 * 5_000


def test_f42_without_usage_the_expected_cost_is_charged_and_marked() -> None:
    found = settle(PRICE, Delivered(1), held=HELD)
    assert found.cost == HELD.expected
    assert found.flags == ("usage_missing", "estimated")


def test_f42_of_the_expected_cost_only_the_pictures_that_came_are_charged() -> None:
    held = ranged(GPT_IMAGE_2, call(size="1024x1024", quality="high", n=3))
    assert settle(PRICE, Delivered(2), held=held).cost == -(-held.expected * 2 // 3)


def test_f42_no_picture_and_no_usage_is_unknown_and_not_zero() -> None:
    found = settle(PRICE, Delivered(0), held=HELD)
    assert (found.cost, found.flags) == (None, ("usage_missing",))


def test_f43_more_than_was_held_is_charged_and_marked() -> None:
    dearer = replace(USAGE, output_tokens=9000)
    found = settle(PRICE, Delivered(1, dearer), held=HELD)
    assert found.cost == 270_000_000 + 55_000
    assert found.flags == ("hold_underestimate",)


def test_f43_exactly_what_was_held_is_no_underestimate() -> None:
    most = Usage(input_text_tokens=16 + len(HIGH.prompt), output_tokens=7024)
    found = settle(PRICE, Delivered(1, most), held=HELD)
    assert (found.cost, found.flags) == (HELD.high, ())


@pytest.mark.parametrize(
    ("reported", "flags"),
    [(102, ()), (98, ()), (100, ()), (103, ("price_drift",)), (97, ("price_drift",)), (0, ("price_drift",))],
)
def test_f44_a_reported_cost_more_than_two_percent_off_is_marked(
    reported: int, flags: tuple[str, ...]
) -> None:
    price = version(per_image="0.0000001")
    found = settle(price, Delivered(1, cost=NanoDollars(reported)))
    assert (found.cost, found.flags) == (100, flags)
    assert (found.catalogue, found.reported) == (100, reported)


def test_f44_the_source_of_cost_decides_and_both_are_kept() -> None:
    price = version(per_image="0.04")
    found = settle(price, Delivered(1, cost=NanoDollars(50_000_000)), cost_source="provider")
    assert (found.cost, found.catalogue, found.reported) == (50_000_000, 40_000_000, 50_000_000)
    assert found.flags == ("price_drift", "provider_cost")
    assert settle(price, Delivered(1), cost_source="provider").cost == 40_000_000


def test_a_reported_cost_beats_an_estimate_and_a_price_that_nobody_knows() -> None:
    told = Delivered(1, cost=NanoDollars(1_000))
    assert settle(PRICE, told, held=HELD).cost == 1_000
    assert settle(PRICE, told, held=HELD).flags == ("usage_missing", "provider_cost")
    unknown = settle(None, told)
    assert (unknown.cost, unknown.flags) == (1_000, ("unpriced", "provider_cost"))


def test_a_price_that_nobody_knows_is_unknown() -> None:
    assert settle(None, Delivered(1, USAGE)).cost is None
    assert settle(None, Delivered(1, USAGE)).flags == ("unpriced",)


def test_what_is_free_is_never_estimated() -> None:
    sandbox = entry("sandbox")
    held = ranged(sandbox, call(size="1024x1024"))
    assert held.high == 0
    assert settle(price_of(sandbox), Delivered(1), held=held).cost == 0


def test_f60_the_price_of_admission_is_charged_whatever_the_catalogue_says_by_now() -> None:
    admitted = model(version(since=date(2026, 1, 1), per_image="0.04"))
    price = admitted.price_on(DAY)
    changed = model(*admitted.prices, version(since=date(2026, 11, 1), per_image="0.09"))
    assert changed.price_on(DAY) != price
    found = settle(price, Delivered(1), held=ranged(admitted, call()))
    assert (found.cost, found.price_version) == (40_000_000, "2026-01-01")


def test_credits_that_an_answer_tells_are_what_it_took() -> None:
    price = version(credits={"dollars": "0.01", "per_image": "6.5"})
    assert settle(price, Delivered(2)).cost == 130_000_000
    assert settle(price, Delivered(2, credits=Decimal("9.25"))).cost == 92_500_000


def test_drift_of_nothing_is_any_amount() -> None:
    assert drifts(NanoDollars(0), NanoDollars(1))
    assert not drifts(NanoDollars(0), NanoDollars(0))


def test_an_answer_without_a_picture_costs_what_it_says_whatever_the_prices_are() -> None:
    price = version(per_image="0.04")
    sources: tuple[CostSource, ...] = ("catalogue", "provider")
    for cost_source in sources:
        found = settle(price, Delivered(0, cost=NanoDollars(60_000_000)), cost_source=cost_source)
        assert (found.cost, found.flags) == (60_000_000, ("provider_cost",))
    assert settle(price, Delivered(0, cost=NanoDollars(0))).cost == 0


def test_a_failure_that_is_billed_costs_what_was_expected_and_says_so() -> None:
    charge = settle_failed("2026-04-21", HELD)
    assert charge is not None
    assert (charge.cost, charge.price_version) == (HELD.expected, "2026-04-21")
    assert charge.flags == ("estimated", "billed_on_error")
    assert settle_failed(None, None) is None
