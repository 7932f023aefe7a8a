"""A hold is never less than what the catalogue can charge, and never less for more.

The calls are any that the models take; the usage is any report within the estimated tokens: split or not,
cached or not, text or pictures.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.catalog import CatalogModel, load_catalog
from config.sizing import FreeSizing, ListedSizing
from gateway.images.amounts import Usage
from gateway.images.asked import asked
from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.estimate import PriceRange
from gateway.images.input_tokens import every_input, input_picture_tokens, most_text_tokens, text_bytes
from gateway.images.outcomes import outcomes
from gateway.images.output_tokens import picture_tokens
from gateway.images.pricing import Delivered, charge_at
from gateway.images.settlement import settle
from providers.base import InputRef
from tests.unit.images.priced import URL, call, entry, price_of, ranged

PRICED = [
    model
    for model in load_catalog().entries
    if model.prices and isinstance(model.sizing, FreeSizing | ListedSizing)
]
COUNTED = [model for model in PRICED if model.counting is not None and not model.prices[0].free]
TABLED = [model for model in PRICED if model.prices[0].image_table is not None]
STEPS = st.tuples(st.integers(24, 240), st.integers(24, 240)).filter(lambda pair: max(pair) <= 3 * min(pair))
"""Edges in steps of 16 pixels, within the ratio that is served."""


def sizes_of(model: CatalogModel) -> st.SearchStrategy[str]:
    if isinstance(model.sizing, ListedSizing):
        return st.sampled_from([*model.sizing.sizes, "auto"])
    assert isinstance(model.sizing, FreeSizing)
    return STEPS.map(lambda pair: f"{16 * pair[0]}x{16 * pair[1]}") | st.just("auto")


INPUTS = st.lists(
    st.just(UNSEEN) | st.builds(InputSize, st.integers(1, 9000), st.integers(1, 9000)), max_size=4
)


@st.composite
def calls(draw: st.DrawFn, model: CatalogModel) -> tuple[ImageCall, list[InputSize]]:
    sizes = draw(INPUTS)
    params: dict[str, object] = {
        "size": draw(sizes_of(model)),
        **({"quality": draw(st.sampled_from(model.qualities))} if model.qualities else {}),
        "n": draw(st.integers(1, model.max_n)),
    }
    if draw(st.booleans()):
        params |= {"stream": True, "partial_images": draw(st.integers(0, 3))}
    if "input_fidelity" in model.fields and sizes:
        params["input_fidelity"] = draw(st.sampled_from(["low", "high"]))
    pictures: list[InputRef] = [URL] * len(sizes)
    return call(draw(st.text(max_size=80)), pictures, **params), sizes


@st.composite
def priced_calls(draw: st.DrawFn) -> tuple[CatalogModel, ImageCall, list[InputSize]]:
    model = draw(st.sampled_from(COUNTED))
    return model, *draw(calls(model))


def bounds(model: CatalogModel, wanted: ImageCall, inputs: list[InputSize]) -> tuple[int, int, int]:
    """Text, picture and output tokens that one picture of the call takes at most by the published rules."""
    assert model.counting is not None
    assert model.counting.input is not None
    fidelity = wanted.params.get("input_fidelity")
    image = sum(
        input_picture_tokens(
            model.counting.input, size, fidelity=fidelity if isinstance(fidelity, str) else None
        )
        for size in every_input(wanted, inputs)
    )
    made = max(
        picture_tokens(model.counting.output, outcome.quality, outcome.size) or 0
        for outcome in outcomes(model, asked(model, None, wanted, inputs))
    )
    partial = wanted.params.get("partial_images", 0)
    assert isinstance(partial, int)
    return (
        most_text_tokens(model.counting, text_bytes(wanted.prompt)),
        image,
        made + partial * model.counting.partial_image,
    )


@given(priced_calls(), st.data())
def test_no_usage_within_the_estimated_tokens_costs_more_than_was_held(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]], data: st.DataObject
) -> None:
    model, wanted, inputs = priced
    held = ranged(model, wanted, inputs)
    text, image, out = (wanted.n * most for most in bounds(model, wanted, inputs))
    used_text, used_image, used_out = (
        data.draw(st.integers(least, most)) for least, most in [(0, text), (0, image), (1, out)]
    )
    out_text = data.draw(st.integers(0, used_out))
    usage = Usage(
        input_tokens=used_text + used_image,
        input_text_tokens=data.draw(st.none() | st.integers(0, used_text)),
        input_image_tokens=data.draw(st.none() | st.integers(0, used_image)),
        cached_text_tokens=data.draw(st.none() | st.integers(0, used_text)),
        cached_image_tokens=data.draw(st.none() | st.integers(0, used_image)),
        output_tokens=used_out,
        output_text_tokens=data.draw(st.none() | st.just(out_text)),
        output_image_tokens=data.draw(st.none() | st.just(used_out - out_text)),
    )
    assume((usage.cached_text_tokens or 0) <= (usage.input_text_tokens or 0))
    assume((usage.cached_image_tokens or 0) <= (usage.input_image_tokens or 0))
    charged = settle(price_of(model), Delivered(wanted.n, usage, input_images=bool(inputs)), held=held)
    assert charged.cost is not None
    assert type(charged.cost) is int
    assert charged.cost <= held.high
    assert "hold_underestimate" not in charged.flags


@given(priced_calls())
def test_all_the_estimated_tokens_cost_exactly_what_was_held_where_nothing_is_added(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]],
) -> None:
    """So that the bound is not safe for being far away."""
    model, wanted, inputs = priced
    assert model.counting is not None
    assume(not model.counting.spread and not model.counting.margin and not inputs)
    held = ranged(model, wanted, inputs)
    text, _, out = (wanted.n * most for most in bounds(model, wanted, inputs))
    usage = Usage(input_text_tokens=text, output_tokens=out)
    assert charge_at(price_of(model), Delivered(wanted.n, usage, input_images=False)).cost == held.high
    assert held.tokens == text + out


@given(priced_calls())
def test_a_range_is_whole_nano_dollars_in_order(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]],
) -> None:
    held = ranged(*priced)
    assert {type(amount) for amount in (held.low, held.expected, held.high, held.tokens)} == {int}
    assert 0 < held.low <= held.expected <= held.high


@given(priced_calls(), st.integers(1, 9))
def test_more_pictures_never_hold_less(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]], more: int
) -> None:
    model, wanted, inputs = priced
    less = ranged(model, wanted, inputs)
    greater = ranged(model, replace(wanted, params={**wanted.params, "n": wanted.n + more}), inputs)
    assert greater.high > less.high
    assert greater.tokens > less.tokens


@given(priced_calls(), st.text(min_size=1, max_size=20))
def test_more_words_and_more_pictures_that_go_in_never_hold_less(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]], words: str
) -> None:
    model, wanted, inputs = priced
    held = ranged(model, wanted, inputs).high
    assert ranged(model, replace(wanted, prompt=wanted.prompt + words), inputs).high > held
    assert ranged(model, replace(wanted, images=[*wanted.images, URL]), [*inputs, UNSEEN]).high > held


ORDER = ["low", "medium", "high", "xhigh", "max"]


@given(priced_calls())
def test_a_better_quality_never_holds_less(
    priced: tuple[CatalogModel, ImageCall, list[InputSize]],
) -> None:
    """Within one factor: the margin of 2.6 is fivefold up to medium, and a quarter from high on."""
    model, wanted, inputs = priced
    qualities = [quality for quality in ORDER if quality in model.qualities]
    assume(qualities)
    highs: list[PriceRange] = [
        ranged(model, replace(wanted, params={**wanted.params, "quality": quality}), inputs)
        for quality in qualities
    ]
    for (worse, less), (better, more) in zip(
        zip(qualities, highs, strict=True), list(zip(qualities, highs, strict=True))[1:], strict=False
    ):
        assert less.expected <= more.expected, (worse, better)
        if not (model.counting and model.counting.spread and (worse, better) == ("medium", "high")):
            assert less.high <= more.high, (worse, better)
    auto = ranged(model, replace(wanted, params={**wanted.params, "quality": "auto"}), inputs)
    assert auto.high == max(each.high for each in highs)


@given(
    st.sampled_from([model for model in COUNTED if isinstance(model.sizing, FreeSizing)]),
    st.sampled_from(ORDER),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(2, 4),
)
def test_a_larger_picture_of_the_same_shape_never_holds_less(
    model: CatalogModel, quality: str, shape: tuple[int, int], factor: int
) -> None:
    """Of the same shape: a more oblong one takes fewer tokens, however large."""
    small, large = (
        ranged(model, call(size=f"{16 * shape[0] * by}x{16 * shape[1] * by}", quality=quality))
        for by in (1, factor)
    )
    assert small.high <= large.high


@given(st.sampled_from(TABLED), st.data())
def test_a_price_table_charges_what_it_held(model: CatalogModel, data: st.DataObject) -> None:
    assert isinstance(model.sizing, ListedSizing)
    size = data.draw(st.sampled_from([*model.sizing.sizes, "auto"]))
    quality = data.draw(st.sampled_from([*model.qualities, "auto"]))
    n = data.draw(st.integers(1, 10))
    held = ranged(model, call(size=size, quality=quality, n=n))
    made = data.draw(st.integers(0, n))
    came = Delivered(
        made,
        quality=data.draw(st.sampled_from(model.qualities)) if quality == "auto" else quality,
        size=data.draw(st.sampled_from(model.sizing.sizes)) if size == "auto" else size,
    )
    charged = charge_at(model.prices[0], came)
    assert charged.cost is not None
    assert charged.cost * n <= held.high * made
    assert charged.flags == ()


@pytest.mark.parametrize("model", COUNTED, ids=lambda model: model.id)
def test_every_counted_model_has_a_range_for_the_plainest_call(model: CatalogModel) -> None:
    assert entry(model.id) is model
    assert ranged(model, call()).high > 0
