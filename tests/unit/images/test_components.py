"""The parts of an expected amount: what they are, and that they add up to it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.call import InputSize
from gateway.images.components import added, components
from gateway.images.pricing import rounded_up
from tests.unit.images.priced import URL, call, entry, model, price_of, ranged, version


def test_a_token_priced_edit_has_text_pictures_in_and_pictures_out() -> None:
    described = entry("gpt-image-2")
    wanted = call("a red cat", [URL], size="1024x1024", quality="high", n=2)
    sizes = [InputSize(1024, 1024)]
    priced = ranged(described, wanted, sizes)
    found = components(price_of(described), priced, sizes)
    assert [(part.type, part.metric, part.unit_price) for part in found] == [
        ("input", "text_token", Decimal("0.000005")),
        ("input", "image_token", Decimal("0.000008")),
        ("output", "image_token", Decimal("0.00003")),
    ]
    assert found[2].quantity == 2 * 7024


def test_a_free_model_has_none() -> None:
    described = entry("sandbox")
    assert components(price_of(described), ranged(described, call())) == ()


def test_what_is_missing_to_the_least_price_is_a_part() -> None:
    dear = version(per_image="0.01", minimum="0.05")
    found = components(dear, ranged(model(dear), call(n=2)))
    assert [(part.type, part.quantity, part.unit_price) for part in found] == [
        ("output", 2, Decimal("0.01")),
        ("minimum", 1, Decimal("0.03")),
    ]


def test_alike_parts_of_several_calls_are_counted_together() -> None:
    flat = version(per_image="0.02")
    parts = components(flat, ranged(model(flat), call(n=3)))
    assert [(part.metric, part.quantity) for part in added([*parts, *parts])] == [("image", 6)]


FORMS: list[dict[str, Any]] = [
    {"per_image": "0.0333"},
    {"image_table": {"low": {"1024x1024": "0.006"}, "any": {"any": "0.07"}}},
    {"per_megapixel": {"output": "0.03", "further": "0.015", "input": "0.015"}},
    {"per_megapixel": {"output": "0.03", "whole": False}},
    {"credits": {"dollars": "0.01", "per_image": "6.5"}},
    {"per_image": "0.01", "credits": {"dollars": "0.002", "per_image": 3}},
    {"per_image": "0.01", "minimum": "0.1"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "+".join(form))
@given(n=st.integers(1, 10), quality=st.sampled_from(["low", "high"]), edits=st.booleans())
def test_the_parts_add_up_to_what_is_expected(form: Any, n: int, quality: str, edits: bool) -> None:
    price = version(**form)
    sizes = [InputSize(1536, 1024)] if edits else []
    wanted = call(images=[URL] if edits else (), n=n, size="1536x864", quality=quality)
    priced = ranged(model(price), wanted, sizes)
    total = sum((part.dollars for part in components(price, priced, sizes)), Decimal(0))
    assert rounded_up(total) == priced.expected


@pytest.mark.parametrize("name", ["gpt-image-2", "gpt-image-1.5", "gpt-image-2.6-flare"])
@given(n=st.integers(1, 10), prompt=st.text(min_size=1, max_size=200), partials=st.integers(0, 3))
def test_the_parts_of_token_prices_add_up_too(name: str, n: int, prompt: str, partials: int) -> None:
    described = entry(name)
    wanted = call(prompt, n=n, size="1024x1024", quality="medium", partial_images=partials)
    priced = ranged(described, wanted)
    total = sum((part.dollars for part in components(price_of(described), priced)), Decimal(0))
    assert rounded_up(total) == priced.expected
