"""Prices × usage → nano-dollars. Expected amounts are worked out by hand from the published rates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import load_catalog
from config.prices import TokenPrices
from gateway.images.amounts import Usage
from gateway.images.call import UNSEEN, InputSize
from gateway.images.pricing import MOST_TOKENS, Delivered, charge, charge_at
from tests.unit.images.priced import DAY, entry, model, price_of, version


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


def test_a_total_below_its_parts_leaves_nothing_for_the_other_side() -> None:
    assert charge(GPT_IMAGE_2, DAY, Usage(output_tokens=100, total_tokens=50), 1).cost == 100 * 30_000
    assert charge(GPT_IMAGE_2, DAY, Usage(input_text_tokens=100, total_tokens=50), 0).cost == 100 * 5_000


def test_a_billion_tokens_are_still_a_count() -> None:
    most = Usage(input_text_tokens=0, output_tokens=10**9)
    assert charge(GPT_IMAGE_2, DAY, most, 1).cost == 30_000 * 10**9


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


def test_a_version_ends_with_its_last_day() -> None:
    listed = model(version(since=date(2026, 1, 1), until=date(2026, 11, 19), per_image="0.04"))
    assert charge(listed, date(2026, 11, 19), None, 1).cost == 40_000_000
    assert charge(listed, DAY, None, 1).flags == ("unpriced",)


def test_a_table_is_read_by_what_was_delivered() -> None:
    price = price_of(entry("dall-e-3"))
    hd = charge_at(price, Delivered(2, quality="hd", size="1792x1024"))
    assert (hd.cost, hd.flags) == (240_000_000, ())


@pytest.mark.parametrize(
    ("quality", "size", "nano"),
    [
        (None, None, 120),
        ("standard", None, 80),
        (None, "1024x1024", 80),
        ("ultra", "1x1", 120),
        ("auto", "auto", 120),
    ],
)
def test_what_a_table_needs_and_nobody_told_costs_the_dearest_and_is_flagged(
    quality: str | None, size: str | None, nano: int
) -> None:
    found = charge_at(price_of(entry("dall-e-3")), Delivered(1, quality=quality, size=size))
    assert (found.cost, found.flags) == (nano * 1_000_000, ("undetailed_output",))


def test_any_in_a_table_stands_for_what_it_does_not_name() -> None:
    price = version(image_table={"any": {"4K": "0.24", "any": "0.134"}})
    assert charge_at(price, Delivered(1, size="4K")).cost == 240_000_000
    assert charge_at(price, Delivered(1, quality="high", size="2K")).cost == 134_000_000
    unknown = charge_at(price, Delivered(1))
    assert (unknown.cost, unknown.flags) == (240_000_000, ("undetailed_output",))


@pytest.mark.parametrize(
    ("size", "inputs", "nano"),
    [
        ("1024x1024", (), 30),
        ("1024x1025", (), 45),
        ("2048x2048", (), 75),
        ("1024x1024", (InputSize(1024, 1024), InputSize(2048, 1024)), 75),
    ],
)
def test_megapixels_cost_by_the_published_formula(
    size: str, inputs: tuple[InputSize, ...], nano: int
) -> None:
    price = version(per_megapixel={"output": "0.03", "further": "0.015", "input": "0.015"})
    found = charge_at(price, Delivered(1, size=size, inputs=inputs, input_images=bool(inputs)))
    assert found.cost == nano * 1_000_000


@pytest.mark.parametrize(
    "delivered",
    [
        Delivered(1, input_images=False),
        Delivered(1, size="4K", input_images=False),
        Delivered(1, size="1024x1024"),
        Delivered(1, size="1024x1024", inputs=[UNSEEN]),
    ],
)
def test_megapixels_of_an_unknown_size_are_unknown_and_never_zero(delivered: Delivered) -> None:
    price = version(per_megapixel={"output": "0.03", "input": "0.015"})
    found = charge_at(price, delivered)
    assert (found.cost, found.flags) == (None, ("size_missing",))


def test_pictures_that_are_sent_along_cost_once_a_call_whatever_it_makes() -> None:
    price = version(image_table={"any": {"1K": "0.04", "2K": "0.06"}}, per_input="0.01")
    two = Delivered(3, size="2K", inputs=[UNSEEN, InputSize(9, 9)])
    assert charge_at(price, two).cost == 3 * 60_000_000 + 2 * 10_000_000
    assert charge_at(price, Delivered(1, size="1K")).cost == 40_000_000


@pytest.mark.parametrize(("size", "tiles"), [("512x512", 1), ("1024x1024", 4), ("520x520", 2)])
def test_tiles_are_small_megapixels(size: str, tiles: int) -> None:
    price = version(per_megapixel={"output": "0.007", "pixels": 262_144}, per_image="0.0033")
    assert charge_at(price, Delivered(1, size=size)).cost == tiles * 7_000_000 + 3_300_000


def test_nothing_delivered_costs_nothing_by_picture_table_megapixel_or_credit() -> None:
    for form in (
        {"per_image": "0.04"},
        {"image_table": {"any": {"any": "0.04"}}},
        {"per_megapixel": {"output": "0.03"}},
        {"per_input": "0.01"},
        {"credits": {"dollars": "0.01", "per_image": 4}},
        {"per_image": "0.04", "minimum": "0.10"},
    ):
        assert charge_at(version(**form), Delivered(0)).cost == 0


def test_credits_that_nobody_told_are_unknown() -> None:
    found = charge_at(version(credits={"dollars": "0.01"}), Delivered(1))
    assert (found.cost, found.flags) == (None, ("credits_missing",))


def test_what_costs_something_besides_is_marked() -> None:
    price = price_of(entry("gpt-image-2.6-flare"))
    usage = Usage(input_text_tokens=0, output_tokens=100)
    found = charge_at(price, Delivered(1, usage, params={"output_format": "svg"}))
    assert (found.cost, found.flags) == (3_000_000, ("partly_unpriced",))
    assert charge_at(price, Delivered(1, usage, params={"output_format": "png"})).flags == ()


def test_a_minimum_is_charged_where_anything_is() -> None:
    price = version(per_image="0.001", minimum="0.01")
    assert charge_at(price, Delivered(1)).cost == 10_000_000
    assert charge_at(price, Delivered(20)).cost == 20_000_000


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
