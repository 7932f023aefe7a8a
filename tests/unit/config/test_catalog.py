"""The packaged catalog: complete, consistent, and each fact with its source."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import get_args

import pytest
from openai.types import ImageModel

from config.accounts.kinds import provider_types
from config.catalog import Catalog, CatalogModel, free_form, load_catalog
from config.inputs import Mask
from config.sizing import FreeSizing, ListedSizing, RatioSizing, pixels_of, ratio_of, tier_area

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


def test_gemini_takes_ratios_and_tiers_and_says_what_they_come_to() -> None:
    for name, ratios, tiers in (
        ("gemini-nano-banana-2.1", 14, ["1K", "2K", "4K"]),
        ("gemini-3.1-flash-image", 14, ["512", "1K", "2K", "4K"]),
        ("gemini-3.1-flash-lite-image", 14, ["1K"]),
        ("gemini-3-pro-image", 10, ["1K", "2K", "4K"]),
        ("gemini-2.5-flash-image", 10, []),
    ):
        sizing = entry(name).sizing
        assert isinstance(sizing, RatioSizing)
        assert (len(sizing.ratios), sizing.tiers, sizing.default_tier) == (ratios, tiers, "1K")
        for tier in tiers or ["1K"]:
            missing = set(sizing.ratios) - set(sizing.pixels[tier])
            assert missing == ({"21:9"} if tier == "512" else set()), name
        assert (entry(name).max_n, entry(name).inputs.mask) == (1, None)


def test_published_pixels_are_near_the_ratio_and_the_tier_that_they_stand_for() -> None:
    for model in CATALOG.entries:
        for tier, row in model.sizing.pixels.items() if isinstance(model.sizing, RatioSizing) else ():
            for name, text in row.items():
                pixels, ratio, area = pixels_of(text), ratio_of(name), tier_area(tier)
                assert pixels is not None
                assert ratio is not None
                assert area is not None
                # Imagen's 3:4 and 4:3 are farther off than anybody else's.
                assert abs(pixels[0] / pixels[1] / ratio - 1) < 0.08, (model.id, tier, name)
                assert 0.9 < pixels[0] * pixels[1] / area < 1.13, (model.id, tier, name)


def test_googles_two_faces_serve_the_same_models_and_the_cloud_takes_more_of_each() -> None:
    served = CATALOG.served_by("gemini")
    assert served == CATALOG.served_by("vertex")
    for model in served:
        cloud = CATALOG.describe("vertex", model.id)
        assert set(cloud.fields) == set(model.fields) | {
            "person_generation",
            "output_format",
            "output_compression",
        }
    assert "9:21" in CATALOG.describe("vertex", "gemini-3.1-flash-image").model_dump()["sizing"]["ratios"]


def test_every_type_of_account_that_serves_a_model_by_its_name_exists() -> None:
    assert {kind for model in CATALOG.entries for kind in model.providers} <= set(provider_types())


def test_imagen_is_served_only_where_a_target_names_it() -> None:
    imagen = [model for model in CATALOG.entries if model.family == "imagen"]
    assert [model.providers for model in imagen] == [[]] * 4


def test_every_extension_is_described_and_every_field_is_known_or_one() -> None:
    dialect = {field for model in CATALOG.served_by("openai") for field in model.fields}
    dialect |= {"aspect_ratio", "resolution", "style", "response_format", "negative_prompt", "guidance_scale"}
    for model in CATALOG.entries:
        assert set(model.fields) <= dialect | set(model.extensions), model.id


def test_masks_and_forms_of_inputs_are_what_each_upstream_takes() -> None:
    assert entry("gpt-image-2").inputs.mask == Mask(polarity="transparent", equal_size=True)
    assert entry("azure/gpt-image-2").inputs.forms == ["file"]
    assert entry("sandbox").inputs.forms == ["file", "data"]
    assert entry("dall-e-2").inputs.max_images == 1


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
            if model.qualities:
                assert model.auto is not None, model.id
                assert set(model.auto.qualities) == set(model.qualities) - {"auto"}, model.id


def test_the_margins_are_those_that_were_decided() -> None:
    """None where tokens follow a published rule; 2.6 is five times 2.5 up to medium, a quarter more above.
    Gemini bills thoughts that nobody bounds; MAI's rule is read off three answers."""
    margins = {(model.family, model.counting.margin) for model in CATALOG.entries if model.counting}
    assert {margin for family, margin in margins if family not in ("gemini-image", "mai-image")} == {0}
    assert {margin for family, margin in margins if family == "mai-image"} == {Decimal("0.1")}
    assert {margin for family, margin in margins if family == "gemini-image"} == {
        Decimal("0.1"),
        Decimal("0.5"),
    }
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
