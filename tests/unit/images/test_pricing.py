"""Prices × usage → nano-dollars. Expected amounts are worked out by hand from the published rates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import AnySizing, CatalogModel, load_catalog
from config.prices import PriceVersion, Source, TokenPrices
from gateway.images.amounts import Usage
from gateway.images.pricing import MOST_TOKENS, charge

DAY = date(2026, 11, 20)
SOURCE = Source(text="a test", mark="tested", verified_on=DAY)


def version(since: date = date(2026, 4, 21), **price: Any) -> PriceVersion:
    return PriceVersion(since=since, source=SOURCE, **price)


def model(*prices: PriceVersion) -> CatalogModel:
    return CatalogModel(
        id="m",
        family="f",
        providers=[],
        operations=["generations"],
        sizing=AnySizing(kind="any"),
        qualities=[],
        output_formats=[],
        fields=[],
        prices=list(prices),
        sources=[SOURCE],
    )


def rates(**others: str) -> TokenPrices:
    """gpt-image-2's."""
    published = {
        "text_in": "5.00",
        "cached_text_in": "1.25",
        "image_in": "8.00",
        "cached_image_in": "2.00",
        "image_out": "30.00",
    }
    return TokenPrices.model_validate(published | others)


GPT_IMAGE_2 = model(version(tokens=rates()))


@pytest.mark.parametrize(
    ("output", "nano"),
    [
        (7024, 210_720_000),  # high, 1024x1024: $0.21072
        (1756, 52_680_000),  # medium, 1024x1024
        (196, 5_880_000),  # low, 1024x1024
        (5488, 164_640_000),  # high, 1536x1024
        (13342, 400_260_000),  # high, 3840x2160
    ],
)
def test_published_output_tokens_cost_the_published_price(output: int, nano: int) -> None:
    usage = Usage(input_tokens=0, input_text_tokens=0, input_image_tokens=0, output_tokens=output)
    assert charge(GPT_IMAGE_2, DAY, usage, 1).cost == nano


def test_the_shipped_catalog_prices_gpt_image_2_as_published() -> None:
    entry = load_catalog().get("gpt-image-2")
    assert entry is not None
    usage = Usage(input_tokens=11, input_text_tokens=11, input_image_tokens=0, output_tokens=7024)
    found = charge(entry, DAY, usage, 1)
    assert found.cost == 210_720_000 + 11 * 5_000
    assert found.price_version == entry.price_on(DAY).version  # type: ignore[union-attr]
    assert found.flags == ()


def test_an_edit_with_cached_input_is_charged_part_by_part() -> None:
    usage = Usage(
        input_tokens=1_069,
        input_text_tokens=45,
        input_image_tokens=1_024,
        cached_text_tokens=5,
        cached_image_tokens=24,
        output_tokens=1_756,
        output_image_tokens=1_756,
    )
    # 40×5 + 5×1.25 + 1000×8 + 24×2 + 1756×30 = 60,934.25 dollars per million
    assert charge(GPT_IMAGE_2, DAY, usage, 1).cost == 60_934_250


def test_a_model_without_cached_rates_bills_cached_tokens_in_full() -> None:
    full = model(version(tokens=TokenPrices.model_validate({"text_in": 2, "image_in": 3, "image_out": 8})))
    usage = Usage(
        input_text_tokens=10,
        cached_text_tokens=10,
        input_image_tokens=4,
        cached_image_tokens=4,
        output_tokens=1,
    )
    assert charge(full, DAY, usage, 1).cost == 10 * 2_000 + 4 * 3_000 + 8_000


def test_undetailed_output_is_image_tokens() -> None:
    priced = model(version(tokens=rates(text_out="10.00")))
    usage = Usage(input_tokens=0, input_text_tokens=0, output_tokens=100)
    assert charge(priced, DAY, usage, 1).cost == 100 * 30_000
    assert charge(priced, DAY, usage, 1).flags == ()


def test_output_text_costs_its_own_rate_where_there_is_one() -> None:
    usage = Usage(input_tokens=0, input_text_tokens=0, output_tokens=110, output_text_tokens=10)
    assert (
        charge(model(version(tokens=rates(text_out="10.00"))), DAY, usage, 1).cost
        == 10 * 10_000 + 100 * 30_000
    )


def test_output_text_without_a_rate_costs_the_image_rate_and_is_flagged() -> None:
    usage = Usage(input_tokens=0, input_text_tokens=0, output_tokens=110, output_text_tokens=10)
    found = charge(GPT_IMAGE_2, DAY, usage, 1)
    assert found.cost == 110 * 30_000
    assert found.flags == ("text_out_unpriced",)


def test_undetailed_input_costs_the_dearer_rate_and_is_flagged() -> None:
    found = charge(GPT_IMAGE_2, DAY, Usage(input_tokens=100, output_tokens=10), 1)
    assert found.cost == 100 * 8_000 + 10 * 30_000
    assert found.flags == ("undetailed_input",)


def test_undetailed_input_of_a_call_without_pictures_is_text() -> None:
    found = charge(GPT_IMAGE_2, DAY, Usage(input_tokens=100, output_tokens=10), 1, input_images=False)
    assert found.cost == 100 * 5_000 + 10 * 30_000
    assert found.flags == ()


def test_only_the_part_of_the_input_without_details_is_undetailed() -> None:
    found = charge(GPT_IMAGE_2, DAY, Usage(input_tokens=100, input_text_tokens=60, output_tokens=10), 1)
    assert found.cost == 60 * 5_000 + 40 * 8_000 + 10 * 30_000
    assert found.flags == ("undetailed_input",)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(),
        Usage(input_tokens=10),
        Usage(output_tokens=10),
        Usage(input_tokens=0, output_tokens=0, total_tokens=0),
        Usage(input_tokens=-5, output_tokens=10),
        Usage(input_tokens=10, output_tokens=MOST_TOKENS + 1),
    ],
)
def test_a_token_priced_picture_without_a_whole_usage_report_is_unknown_and_never_zero(
    usage: Usage | None,
) -> None:
    found = charge(GPT_IMAGE_2, DAY, usage, 1)
    assert found.cost is None
    assert found.flags == ("usage_missing",)
    assert found.price_version == "2026-04-21"


def test_a_missing_side_follows_from_the_total() -> None:
    both = charge(GPT_IMAGE_2, DAY, Usage(input_text_tokens=11, output_tokens=100), 1)
    assert charge(GPT_IMAGE_2, DAY, Usage(input_text_tokens=11, total_tokens=111), 1) == both
    into = charge(GPT_IMAGE_2, DAY, Usage(output_tokens=100, total_tokens=111), 1, input_images=False)
    assert into.cost == both.cost


def test_no_price_is_unknown_and_never_zero() -> None:
    assert charge(model(), DAY, Usage(input_tokens=1, output_tokens=1), 1).cost is None
    assert charge(model(), DAY, None, 1).flags == ("unpriced",)
    assert charge(model(version()), DAY, None, 1).cost is None
    assert charge(model(version()), DAY, None, 1).flags == ("unpriced",)


def test_a_price_that_is_not_yet_in_force_is_no_price() -> None:
    entry = model(version(since=date(2026, 12, 1), per_image=Decimal("0.04")))
    assert charge(entry, DAY, None, 1).flags == ("unpriced",)
    assert charge(entry, date(2026, 12, 1), None, 1).cost == 40_000_000


def test_the_version_of_the_day_is_used_and_recorded() -> None:
    entry = model(
        version(since=date(2026, 1, 1), per_image=Decimal("0.04")),
        version(since=date(2026, 11, 1), per_image=Decimal("0.03")),
    )
    assert charge(entry, date(2026, 10, 31), None, 1).cost == 40_000_000
    found = charge(entry, DAY, None, 1)
    assert (found.cost, found.price_version) == (30_000_000, "2026-11-01")


def test_free_is_zero_whatever_the_usage() -> None:
    free = model(version(free=True))
    assert charge(free, DAY, None, 4).cost == 0
    assert charge(free, DAY, Usage(input_tokens=10**6, output_tokens=10**6), 4).flags == ()


def test_a_price_per_image_is_charged_for_the_delivered_images() -> None:
    entry = model(version(per_image=Decimal("0.040")))
    assert charge(entry, DAY, None, 3).cost == 120_000_000
    assert charge(entry, DAY, None, 0).cost == 0


def test_tokens_and_images_that_are_both_priced_are_both_charged() -> None:
    entry = model(version(per_image=Decimal("0.01"), tokens=rates()))
    usage = Usage(input_text_tokens=0, input_tokens=0, output_tokens=10)
    assert charge(entry, DAY, usage, 2).cost == 20_000_000 + 300_000


def test_a_fraction_of_a_nano_dollar_is_rounded_up_once() -> None:
    # 3 × $0.0004 per million = 1.2 nano-dollars a kind; two are 2.4, rounded once to 3 and not twice to 4
    entry = model(
        version(
            tokens=TokenPrices.model_validate({"text_in": "0.0004", "image_in": "0.0004", "image_out": "0"})
        )
    )
    usage = Usage(input_text_tokens=3, input_image_tokens=3, output_tokens=1)
    assert charge(entry, DAY, usage, 1).cost == 3


def test_a_negative_number_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        charge(GPT_IMAGE_2, DAY, None, -1)


PRICE = st.decimals(min_value=0, max_value=1000, places=6).map(str)
COUNT = st.integers(0, 10**8)
PARTS = ("text_in", "image_in", "image_out", "text_out")


@given(st.tuples(PRICE, PRICE, PRICE, PRICE), st.tuples(COUNT, COUNT, st.integers(1, 10**8), COUNT))
def test_a_detailed_charge_is_the_exact_sum_rounded_up(
    prices: tuple[str, ...], counts: tuple[int, ...]
) -> None:
    entry = model(version(tokens=TokenPrices.model_validate(dict(zip(PARTS, prices, strict=True)))))
    text_in, image_in, image_out, text_out = counts
    usage = Usage(
        input_tokens=text_in + image_in,
        input_text_tokens=text_in,
        input_image_tokens=image_in,
        output_tokens=image_out + text_out,
        output_image_tokens=image_out,
        output_text_tokens=text_out,
    )
    # Millionths of a dollar a million tokens: integers all the way.
    micro = sum(int(Decimal(price) * 10**6) * count for price, count in zip(prices, counts, strict=True))
    assert charge(entry, DAY, usage, 1).cost == -(-micro // 1000)


OPTIONAL = st.none() | st.integers(-10, 10**7)
USAGES = st.builds(Usage, *[OPTIONAL] * 9)


@given(USAGES, st.integers(0, 10), st.booleans())
def test_no_report_however_odd_costs_less_than_nothing(usage: Usage, images: int, pictures: bool) -> None:
    found = charge(model(version(tokens=rates())), DAY, usage, images, input_images=pictures)
    assert found.cost is None or found.cost >= 0
    assert (found.cost is None) == ("usage_missing" in found.flags)


@given(
    st.sampled_from(["input_text_tokens", "input_image_tokens", "output_tokens"]),
    st.integers(1, 10**6),
    st.tuples(COUNT, COUNT, st.integers(1, 10**7)),
)
def test_more_tokens_never_cost_less(field: str, more: int, counts: tuple[int, int, int]) -> None:
    names = ("input_text_tokens", "input_image_tokens", "output_tokens")
    before = dict(zip(names, counts, strict=True))
    after = before | {field: before[field] + more}
    less, greater = (charge(GPT_IMAGE_2, DAY, Usage(**fields), 1).cost for fields in (before, after))
    assert less is not None
    assert greater is not None
    assert greater > less
