"""What a call can cost before it is made, by numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from config.counting import Counting
from gateway.images.call import InputSize
from gateway.images.estimate import PriceRange, Unpriced, estimate
from tests.unit.images.priced import SOURCE, URL, call, entry, model, price_of, ranged, version

PROMPT = "a red cat"
TEXT = 16 + len(PROMPT)


def test_a_gpt_image_2_picture_holds_its_published_price_and_its_prompt() -> None:
    found = ranged(entry("gpt-image-2"), call(PROMPT, size="1024x1024", quality="high"))
    assert found.high == 210_720_000 + TEXT * 5_000
    assert found.tokens == 7024 + TEXT
    assert (found.flags, found.price_version, found.images) == ((), "2026-04-21", 1)
    assert found.low <= found.expected <= found.high


def test_n_pictures_count_everything_n_times() -> None:
    edit: dict[str, Any] = {"images": [URL], "size": "1024x1024", "quality": "low", "partial_images": 2}
    one = ranged(entry("gpt-image-2"), call(PROMPT, **edit), [InputSize(1024, 1024)])
    four = ranged(entry("gpt-image-2"), call(PROMPT, **edit, n=4), [InputSize(1024, 1024)])
    assert one.tokens == 196 + 200 + 1024 + TEXT
    assert (four.high, four.expected, four.tokens) == (4 * one.high, 4 * one.expected, 4 * one.tokens)


def test_each_partial_picture_adds_a_hundred_tokens() -> None:
    plain = ranged(entry("gpt-image-2"), call(size="1024x1024", quality="low"))
    three = ranged(entry("gpt-image-2"), call(size="1024x1024", quality="low", stream=True, partial_images=3))
    assert three.high - plain.high == 300 * 30_000
    assert three.low == plain.low


def test_pictures_that_go_in_count_by_their_size_mask_included() -> None:
    edit = call(PROMPT, [URL, URL], mask=URL, size="1024x1024", quality="medium")
    found = ranged(
        entry("gpt-image-2"), edit, [InputSize(1024, 1024), InputSize(341, 512), InputSize(341, 512)]
    )
    assert found.tokens == 1756 + 1024 + 704 + 704 + TEXT
    # Undetailed usage bills text at the dearer rate too, so that is what is held.
    assert found.high == 1756 * 30_000 + (1024 + 704 + 704 + TEXT) * 8_000
    assert found.flags == ()


def test_a_picture_behind_a_url_counts_as_the_largest() -> None:
    found = ranged(entry("gpt-image-2"), call(PROMPT, [URL], size="1024x1024", quality="low"))
    assert found.tokens == 196 + 1536 + TEXT
    assert found.expected - found.low > 1536 * 8_000
    assert found.low == 196 * 30_000 + 1_250
    assert found.flags == ("input_size_unseen",)


def test_the_low_end_counts_what_was_seen_as_cached_and_the_rest_as_nothing() -> None:
    edit = call(PROMPT, [URL, URL], size="1024x1024", quality="low", n=2)
    found = ranged(entry("gpt-image-2"), edit, [InputSize(1024, 1024)])
    assert found.low == 2 * (196 * 30_000 + 1_250 + 1024 * 2_000)
    # Six tokens, and one for four of nine bytes.
    assert found.expected == 2 * (196 * 30_000 + (6 + 3) * 5_000 + (1024 + 1536) * 8_000)
    assert found.flags == ("input_size_unseen",)


def test_high_fidelity_costs_what_it_costs() -> None:
    plain = call(PROMPT, [URL], size="1024x1024", quality="low")
    high = call(PROMPT, [URL], size="1024x1024", quality="low", input_fidelity="high")
    square = [InputSize(1024, 1024)]
    found = [ranged(entry("gpt-image-1.5"), each, square).tokens for each in (plain, high)]
    assert found == [272 + 194 + TEXT, 272 + 194 + 4160 + TEXT]


@pytest.mark.parametrize(
    ("quality", "tokens"),
    [("low", 5 * 196), ("medium", 5 * 439), ("high", 2195), ("xhigh", 3903), ("max", 8780)],
)
def test_2_6_holds_five_times_2_5_at_low_and_medium_and_a_quarter_more_above(
    quality: str, tokens: int
) -> None:
    found = ranged(entry("gpt-image-2.6-flare"), call(PROMPT, size="1024x1024", quality=quality))
    assert found.tokens == tokens + TEXT
    assert found.high == tokens * 30_000 + TEXT * 5_000


@pytest.mark.parametrize(
    ("size", "quality", "live"),
    [
        ("1536x1024", "low", 664),
        ("1536x1024", "high", 1353),
        ("3840x2160", "high", 3337),
        ("1024x1024", "auto", 5800),
    ],
)
def test_2_6_as_seen_live_lies_within_its_range(size: str, quality: str, live: int) -> None:
    found = ranged(entry("gpt-image-2.6-flare"), call(PROMPT, size=size, quality=quality))
    assert found.low < live * 30_000 < found.high


def test_auto_holds_the_dearest_that_it_was_seen_to_choose() -> None:
    found = ranged(entry("gpt-image-2"), call(PROMPT, size="auto"))
    # 1254 × 1254 at high: 96 × 96 × (2,000,000 + 1254²) / 4,000,000
    assert found.tokens == 8232 + TEXT
    assert found.flags == ("auto",)
    dearest = max(
        ranged(entry("gpt-image-2"), call(PROMPT, size=size, quality=quality)).high
        for size in ("1024x1024", "1536x1024", "1024x1536", "1254x1254")
        for quality in ("low", "medium", "high")
    )
    assert found.high == dearest


def test_auto_expects_the_likeliest() -> None:
    found = ranged(entry("gpt-image-2"), call(PROMPT))
    assert (
        found.expected
        == ranged(entry("gpt-image-2"), call(PROMPT, size="1024x1024", quality="medium")).expected
    )


def test_auto_of_2_6_holds_the_dearest_with_its_margin() -> None:
    found = ranged(entry("gpt-image-2.6-sunburst"), call(PROMPT, size="1024x1024"))
    assert found.tokens == 8780 + TEXT


def test_auto_where_nothing_is_known_of_it_holds_the_largest_square() -> None:
    sandbox = entry("sandbox")
    dollars = sandbox.model_copy(update={"prices": entry("gpt-image-2").prices})
    # 4096 × 4096 is the most that the sandbox draws.
    assert (
        ranged(dollars, call(PROMPT, quality="high")).tokens
        == ranged(dollars, call(PROMPT, quality="high", size="4096x4096")).tokens
    )


def test_a_gif_holds_the_largest_sheet_since_its_size_is_a_frames() -> None:
    described = entry("gpt-image-2.6-flare")
    gif = ranged(described, call(PROMPT, size="720x720", quality="low", output_format="gif"))
    sheet = ranged(described, call(PROMPT, size="2880x2880", quality="low"))
    assert gif.high == sheet.high
    assert gif.flags == ("sheet",)


def test_an_svg_has_no_price_since_its_author_is_billed_besides() -> None:
    described = entry("gpt-image-2.6-flare")
    found = estimate(described, price_of(described), call(PROMPT, output_format="svg"))
    assert isinstance(found, Unpriced)
    assert (found.reason, found.param) == ("extras", "output_format")
    assert "besides" in found.explanation


def test_f14_no_price_is_no_estimate_and_never_zero() -> None:
    found = estimate(entry("gpt-image-2"), None, call(PROMPT, size="1024x1024", quality="low"))
    assert found == Unpriced("unpriced", "model", 196 + TEXT, None)
    assert isinstance(found, Unpriced)
    assert found.explanation == "its price is not known"
    empty = version()
    assert estimate(model(empty), empty, call()) == Unpriced("unpriced", "model", None, "2026-04-21")


RATES = {"text_in": 5, "image_in": 8, "image_out": 30}


@pytest.mark.parametrize(
    ("forms", "params", "reason"),
    [
        ({"tokens": RATES}, {}, "tokens_unknown"),
        ({"per_megapixel": {"output": "0.03"}}, {}, "size_missing"),
        ({"per_megapixel": {"output": "0.03"}}, {"size": "4K"}, "size_missing"),
        ({"credits": {"dollars": "0.01"}}, {}, "credits_missing"),
        ({"per_image": "0.04", "tokens": RATES}, {}, "tokens_unknown"),
    ],
)
def test_f14_what_cannot_be_bounded_is_no_estimate(
    forms: dict[str, Any], params: dict[str, object], reason: str
) -> None:
    price = version(**forms)
    found = estimate(model(price), price, call(**params))
    assert isinstance(found, Unpriced)
    assert (found.reason, found.price_version) == (reason, "2026-04-21")
    assert found.explanation


def test_a_size_that_a_formula_cannot_read_is_no_estimate() -> None:
    described = entry("gpt-image-2")
    found = estimate(described, price_of(described), call(size="4K"))
    assert isinstance(found, Unpriced)
    assert found.reason == "tokens_unknown"


def test_edits_of_a_model_whose_input_tokens_nobody_knows_are_no_estimate() -> None:
    counting = Counting.model_validate({"output": {"rule": "flat", "tokens": 1290}, "sources": [SOURCE]})
    described = model(version(tokens=RATES), counting=counting)
    assert isinstance(estimate(described, described.prices[0], call(images=[URL])), Unpriced)
    assert isinstance(estimate(described, described.prices[0], call()), PriceRange)


def test_a_guess_at_tokens_is_held_with_ten_percent_on_top() -> None:
    counting = Counting.model_validate({"output": {"rule": "flat", "tokens": 1290}, "sources": [SOURCE]})
    described = model(version(tokens=RATES), counting=counting)
    exact = 1290 * 30_000 + TEXT * 5_000
    found = ranged(described, call(PROMPT))
    assert (found.high, found.tokens) == (exact * 11 // 10, 1290 + TEXT)
    assert found.low == 1290 * 30_000 + 5_000
    assert found.expected == 1290 * 30_000 + (6 + 3) * 5_000


@pytest.mark.parametrize(("margin", "high"), [("0%", 40_000_000), ("25%", 50_000_000), ("2.5%", 41_000_000)])
def test_a_margin_of_the_prices_own_wins(margin: str, high: int) -> None:
    assert ranged(model(version(per_image="0.04", margin=margin)), call()).high == high


def test_flat_prices_are_held_exactly() -> None:
    found = ranged(model(version(per_image="0.04")), call(n=3))
    assert (found.low, found.expected, found.high, found.tokens) == (120_000_000, 120_000_000, 120_000_000, 0)


def test_a_table_is_read_by_size_and_quality_and_auto_is_its_dearest() -> None:
    dall_e = entry("dall-e-3")
    assert ranged(dall_e, call(size="1024x1024", quality="standard")).high == 40_000_000
    assert ranged(dall_e, call(size="1792x1024", quality="hd")).high == 120_000_000
    assert ranged(dall_e, call()).high == 120_000_000
    assert ranged(dall_e, call()).flags == ("auto",)
    assert ranged(entry("dall-e-2"), call(size="512x512", n=2)).high == 36_000_000


def test_megapixels_are_rounded_up_and_inputs_are_billed() -> None:
    # FLUX.2 [pro]'s list: 0.03 for the first megapixel, 0.015 for each further one and each of the input
    price = version(per_megapixel={"output": "0.03", "further": "0.015", "input": "0.015", "most_input": 4})
    described = model(price)
    assert ranged(described, call(size="1024x1024")).high == 30_000_000
    assert ranged(described, call(size="2048x1024")).high == 45_000_000
    assert ranged(described, call(size="1025x1024")).high == 45_000_000
    edit = call(images=[URL], size="1024x1024")
    assert ranged(described, edit, [InputSize(1024, 1025)]).high == 60_000_000
    assert ranged(described, edit).high == 90_000_000
    assert ranged(described, edit, [InputSize(9000, 9000)]).high == 90_000_000


def test_an_input_of_unknown_size_has_no_price_by_the_megapixel_without_an_upper_end() -> None:
    price = version(per_megapixel={"output": "0.03", "input": "0.015"})
    found = estimate(model(price), price, call(images=[URL], size="1024x1024"))
    assert isinstance(found, Unpriced)
    assert found.reason == "size_missing"


def test_fractions_of_a_megapixel_are_exact_where_they_are_billed() -> None:
    price = version(per_megapixel={"output": "0.05", "whole": False, "pixels": 1_000_000})
    assert ranged(model(price), call(size="1000x500")).high == 25_000_000
    assert ranged(model(price), call(size="2000x1000", n=2)).high == 200_000_000


def test_credits_cost_what_a_credit_costs() -> None:
    assert (
        ranged(model(version(credits={"dollars": "0.01", "per_image": "6.5"})), call(n=2)).high == 130_000_000
    )


def test_a_minimum_is_held() -> None:
    assert ranged(model(version(per_image="0.001", minimum="0.01")), call()).high == 10_000_000


def test_the_drill_admits_four_of_sixty_four() -> None:
    """A dollar, and calls of $0.2108: what the race is about."""
    high = ranged(entry("gpt-image-2"), call("drill", size="1024x1024", quality="high")).high
    assert 1_000_000_000 // high == 4
