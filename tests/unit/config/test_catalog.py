"""The packaged catalog: complete, consistent, and each fact with its source."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import get_args

import pytest
from openai.types import ImageModel

from config.catalog import Catalog, CatalogModel, FreeSizing, ListedSizing, free_form, load_catalog

TODAY = date(2026, 11, 20)
CATALOG = load_catalog()
RETIRED = {"dall-e-2", "dall-e-3", "gpt-image-1"}


def entry(name: str) -> CatalogModel:
    found = CATALOG.get(name)
    assert found is not None, name
    return found


def test_every_model_that_the_openai_sdk_names_is_described() -> None:
    assert set(get_args(ImageModel)) <= set(CATALOG.names())


def test_openai_serves_every_model_that_is_in_use_and_none_that_is_gone() -> None:
    served = {name for model in CATALOG.served_by("openai") for name in (model.id, *model.aliases)}
    assert served >= set(get_args(ImageModel)) - RETIRED
    assert not served & RETIRED


def test_azure_and_compatible_servers_serve_nothing_by_name() -> None:
    assert CATALOG.served_by("azure-openai") == []
    assert CATALOG.served_by("openai-compatible") == []


@pytest.mark.parametrize(
    ("name", "day"), [("dall-e-2", "2026-05-12"), ("dall-e-3", "2026-05-12"), ("gpt-image-1", "2026-10-23")]
)
def test_retired_models_are_remembered_with_their_day_and_successor(name: str, day: str) -> None:
    retired = entry(name)
    assert retired.shutdown == date.fromisoformat(day)
    assert retired.is_shut_down(TODAY)
    assert retired.successor is not None
    assert not entry(retired.successor).is_shut_down(TODAY)


def test_a_dated_name_is_the_same_model() -> None:
    assert entry("gpt-image-2-2026-04-21") is entry("gpt-image-2")
    assert entry("gpt-image-1.5-2025-12-16") is entry("gpt-image-1.5")


@pytest.mark.parametrize(
    ("name", "fields", "without"),
    [
        ("gpt-image-2.6-flare", {"complexity", "frame_count", "svg", "markup"}, {"input_fidelity"}),
        ("gpt-image-2.5-sunburst", {"markup"}, {"complexity", "svg", "frame_count", "input_fidelity"}),
        ("gpt-image-2", {"moderation", "partial_images"}, {"markup", "complexity", "input_fidelity"}),
        ("gpt-image-1.5", {"input_fidelity"}, {"markup", "complexity", "response_format"}),
    ],
)  # fmt: skip
def test_each_generation_takes_its_own_fields(name: str, fields: set[str], without: set[str]) -> None:
    taken = set(entry(name).fields)
    assert fields <= taken
    assert not without & taken


def test_input_fidelity_of_the_mini_is_low_only() -> None:
    assert entry("gpt-image-1-mini").values == {"input_fidelity": ["low"]}
    assert entry("gpt-image-1.5").values == {"input_fidelity": ["low", "high"]}


def test_only_2_6_makes_gif_and_svg() -> None:
    makers = {model.id for model in CATALOG.entries if {"gif", "svg"} & set(model.output_formats)}
    assert makers == {"gpt-image-2.6-sunburst", "gpt-image-2.6-flare"}


def test_only_2_5_and_later_have_qualities_beyond_high() -> None:
    beyond = {model.family for model in CATALOG.entries if "xhigh" in model.qualities}
    assert beyond == {"gpt-image-2.5", "gpt-image-2.6", "sandbox"}


def test_sizes_are_openais_published_limits() -> None:
    assert entry("gpt-image-2").sizing == FreeSizing(
        kind="free", step=16, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3
    )
    sizing = entry("gpt-image-1.5").sizing
    assert isinstance(sizing, ListedSizing)
    assert sizing.sizes == ["1024x1024", "1024x1536", "1536x1024"]


def test_every_model_on_offer_has_a_price() -> None:
    for model in CATALOG.entries:
        if model.providers:
            price = model.price_on(TODAY)
            assert price is not None, model.id
            assert price.is_known, model.id


def test_prices_are_exact_and_dated() -> None:
    model = entry("gpt-image-2")
    price = model.price_on(TODAY)
    assert price is not None
    assert price.tokens is not None
    assert price.tokens.text_in == Decimal("5")
    assert price.tokens.cached_text_in == Decimal("1.25")
    assert price.tokens.image_out == Decimal("30")
    assert model.price_on(date(2026, 4, 20)) is None


def test_the_sandbox_is_free_and_takes_every_field() -> None:
    sandbox = entry("sandbox")
    price = sandbox.price_on(TODAY)
    assert price is not None
    assert price.free
    assert sandbox.owned_by == "imagegate"
    assert {field for model in CATALOG.served_by("openai") for field in model.fields} <= set(sandbox.fields)


def test_every_entry_says_where_its_facts_come_from() -> None:
    for model in CATALOG.entries:
        assert model.sources, model.id
        assert all(source.verified_on <= TODAY for source in model.sources)
        assert model.shutdown is None or model.released is None or model.released < model.shutdown


def test_what_is_billed_by_tokens_is_counted_before_the_call_and_bounded_for_auto() -> None:
    for model in CATALOG.entries:
        if any(price.tokens for price in model.prices):
            assert model.counting is not None, model.id
            assert model.counting.input is not None, model.id
            assert model.counting.sources, model.id
            assert model.auto is not None, model.id
            assert set(model.auto.qualities) == set(model.qualities) - {"auto"}, model.id


def test_the_margins_are_those_that_were_decided() -> None:
    """None where tokens follow a published rule; 2.6 is five times 2.5 up to medium, a quarter more above."""
    assert {model.counting.margin for model in CATALOG.entries if model.counting} == {0}
    spread = {model.family: model.counting.spread for model in CATALOG.served_by("openai") if model.counting}
    assert {quality: found.high for quality, found in spread["gpt-image-2.6"].items()} == {
        "low": 5, "medium": 5, "high": Decimal("1.25"), "xhigh": Decimal("1.25"), "max": Decimal("1.25"),
    }  # fmt: skip
    assert spread["gpt-image-2"] == spread["gpt-image-2.5"] == {}


def test_prices_of_the_catalog_are_the_catalogs() -> None:
    assert {price.origin for model in CATALOG.entries for price in model.prices} == {"catalog"}
    for model in CATALOG.entries:
        days = [price.since for price in model.prices]
        assert len(days) == len(set(days)), model.id


def test_a_model_is_described_by_its_named_entry_then_its_own_name_then_freely() -> None:
    assert CATALOG.describe("openai", "anything", "gpt-image-2") is entry("gpt-image-2")
    assert CATALOG.describe("openai", "gpt-image-2-2026-04-21") is entry("gpt-image-2")
    free = CATALOG.describe("openai-compatible", "flux")
    assert (free.id, free.sizing.kind, free.price_on(TODAY), free.sources) == ("flux", "any", None, [])


def test_azure_is_described_by_its_own_variant() -> None:
    for model, name in (("img2-prod", "gpt-image-2"), ("gpt-image-2", None), ("x", "azure/gpt-image-2")):
        assert CATALOG.describe("azure-openai", model, name).id == "azure/gpt-image-2"
    assert "webp" not in entry("azure/gpt-image-2").output_formats


def test_two_entries_cannot_share_a_name() -> None:
    one, two = free_form("a"), free_form("b").model_copy(update={"aliases": ["a"]})
    with pytest.raises(ValueError, match="names a twice"):
        Catalog([one, two])


def test_an_entry_cannot_name_another_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="does not exist"):
        Catalog([free_form("a").model_copy(update={"successor": "b"})])


def test_the_catalog_is_read_once() -> None:
    assert load_catalog() is CATALOG
