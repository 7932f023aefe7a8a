"""Our rates against an independent collection: the MIT package genai-prices, filled by other hands.

Every OpenAI model that it knows and that makes pictures is either compared, rate by rate, or listed here with
the reason why not. A new one there, or a new rate, fails this test until somebody has looked.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from genai_prices import data
from genai_prices.types import ModelInfo, ModelPrice

from config.catalog import load_catalog

TODAY = date(2026, 11, 20)

NOT_OURS = {
    "gpt-5-image": "a chat model that draws; not served on the Images API",
    "gpt-5-image-mini": "a chat model that draws; not served on the Images API",
    "gpt-5.4-image-2": "a chat model that draws; not served on the Images API",
}
NOT_THEIRS = {
    "gpt-image-2.6-sunburst": "younger than the collection",
    "gpt-image-2.6-flare": "younger than the collection",
    "dall-e-2": "billed by picture; the collection has token rates only",
    "dall-e-3": "billed by picture; the collection has token rates only",
}
DIFFERENCES: dict[tuple[str, str], str] = {}
"""(model, rate) to the reason why ours is another one."""

RATES = {
    "text_in": ("input_mtok",),
    "cached_text_in": ("cache_read_mtok",),
    "image_in": ("input_image_mtok",),
    "cached_image_in": ("cache_image_read_mtok",),
    # Where a model makes nothing but pictures, the collection gives their rate as the only output rate.
    "image_out": ("output_image_mtok", "output_mtok"),
}


def collected() -> dict[str, ModelInfo]:
    openai = next(provider for provider in data.providers if provider.id == "openai")
    return {model.id: model for model in openai.models if "image" in model.id or "dall-e" in model.id}


def theirs(model: ModelInfo) -> ModelPrice:
    assert isinstance(model.prices, ModelPrice), f"{model.id} has prices by condition now: look at them"
    return model.prices


def rate(prices: ModelPrice, names: tuple[str, ...]) -> Decimal | None:
    found = next((value for name in names if (value := getattr(prices, name, None)) is not None), None)
    assert found is None or isinstance(found, Decimal), f"{names[0]} is tiered now: look at it"
    return found


def ours() -> set[str]:
    families = ("gpt-image", "dall-e")
    return {e.id for e in load_catalog().entries if e.family.startswith(families) and "/" not in e.id}


def test_every_model_is_compared_or_listed() -> None:
    assert set(collected()) - ours() == set(NOT_OURS)
    assert ours() - set(collected()) == set(NOT_THEIRS)


@pytest.mark.parametrize("model", sorted(ours() - set(NOT_THEIRS)))
def test_rates_agree(model: str) -> None:
    entry = load_catalog().get(model)
    assert entry is not None
    version = entry.price_on(TODAY)
    assert version is not None
    assert version.tokens is not None
    found = theirs(collected()[model])
    for name, fields in RATES.items():
        if (model, name) not in DIFFERENCES:
            assert getattr(version.tokens, name) == rate(found, fields), f"{model}: {name} of {found}"
    has_text_rate = rate(found, ("output_image_mtok",)) is not None
    assert version.tokens.text_out == (rate(found, ("output_mtok",)) if has_text_rate else None)


def test_a_difference_that_is_listed_still_exists() -> None:
    settled = []
    for model, name in DIFFERENCES:
        entry = load_catalog().get(model)
        version = entry.price_on(TODAY) if entry else None
        mine = getattr(version.tokens, name) if version else None
        if mine == rate(theirs(collected()[model]), RATES[name]):
            settled.append((model, name))
    assert settled == []
