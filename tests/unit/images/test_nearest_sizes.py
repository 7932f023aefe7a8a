"""Valid values for refusals in strict mode: near, valid in the field that is refused, and at most three."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import load_catalog
from config.sizing import AnySizing, FreeSizing, Sizing
from gateway.images.intent import intent_of
from gateway.images.sizing import blamed, choose, nearest, passes_strict

CATALOG = load_catalog()
MODELS = ["gpt-image-2", "gpt-image-1.5", "dall-e-2", "dall-e-3", "sandbox", "gemini-3.1-flash-image",
          "gemini-2.5-flash-image", "gemini-3-pro-image-preview"]  # fmt: skip


def sizing_of(model: str) -> Sizing:
    entry = CATALOG.get(model)
    assert entry is not None
    return entry.sizing


@pytest.mark.parametrize(
    ("model", "size", "ratio", "tier", "field", "values"),
    [
        ("gpt-image-2", "512x512", None, None, "size", ("816x816", "832x816", "816x832")),
        ("gpt-image-2", "1920x1080", None, None, "size", ("1920x1088", "1920x1072", "1936x1088")),
        ("gpt-image-2", "1.85:1", None, None, "size", ("1392x752", "1408x752", "1376x752")),
        ("gpt-image-2", None, "1.85:1", None, "aspect_ratio", ("16:9", "2:1", "5:3")),
        ("gpt-image-2", None, "10:1", "1K", "aspect_ratio", ("3:1", "5:2", "21:9")),
        ("gpt-image-2", None, "16:9", "4K", "resolution", ("2.5K", "2K", "1.5K")),
        ("gpt-image-2", None, None, "0.5K", "resolution", ("1K", "1.25K", "1.5K")),
        ("gpt-image-2", "4K", "1:1", None, "size", ("2880x2880", "2880x2864", "2864x2880")),
        ("sandbox", "9000x100", None, None, "size", ("1600x100", "1599x100", "1598x100")),
        ("sandbox", "1x1", None, None, "size", ("64x64", "65x64", "64x65")),
        ("sandbox", "100x99999", None, None, "size", ("100x1600", "100x1599", "100x1598")),
        ("gpt-image-2", "9000x100", None, None, "size", ("1408x480", "1392x480", "1424x480")),
        ("gpt-image-2", "1x1", None, None, "size", ("816x816", "832x816", "816x832")),
        ("gpt-image-2", "99999x99999", None, None, "size", ("2880x2880", "2880x2864", "2864x2880")),
        ("gemini-3.1-flash-image", "9000x100", None, None, "size", ("3072x384", "1536x192", "6144x768")),
        ("gpt-image-1.5", "1920x1080", None, None, "size", ("1536x1024", "1024x1024", "1024x1536")),
        ("gpt-image-1.5", None, "16:9", None, "aspect_ratio", ("3:2", "1:1", "2:3")),
        ("gpt-image-1.5", None, None, "4K", "resolution", ("1K",)),
        ("gpt-image-1.5", None, "1:1", "512", "resolution", ("1K",)),
        ("dall-e-2", None, None, "0.75K", "resolution", ("1K", "512")),
        ("gemini-3.1-flash-image", "1920x1080", None, None, "size", ("1376x768", "2752x1536", "688x384")),
        ("gemini-3.1-flash-image", None, "2:1", "3K", "aspect_ratio", ("16:9", "21:9", "3:2")),
        ("gemini-3.1-flash-image", None, "1:1", "3K", "resolution", ("4K", "2K", "1K")),
        ("gemini-3.1-flash-image", "3K", None, None, "size", ("4K", "2K", "1K")),
        ("gemini-2.5-flash-image", None, "1:1", "4K", "resolution", ("1K",)),
        ("gemini-2.5-flash-image", None, "16:28", "512", "aspect_ratio", ("9:16", "2:3", "3:4")),
        ("gemini-3-pro-image-preview", "1792x1024", None, None, "size", ("16:9", "3:2", "4:3")),
    ],
)
def test_the_field_that_cannot_be_served_is_named_with_what_could_be(
    model: str, size: str | None, ratio: str | None, tier: str | None, field: str, values: tuple[str, ...]
) -> None:
    intent, sizing = intent_of(size, ratio, tier), sizing_of(model)
    assert not passes_strict(choose(intent, sizing).rule)
    assert blamed(intent, choose(intent, sizing)) == field
    assert nearest(intent, sizing) == values


def test_a_model_that_takes_anything_has_nothing_to_name() -> None:
    assert nearest(intent_of("1x1", None, None), AnySizing(kind="any")) == ()
    assert nearest(intent_of(None, None, None), sizing_of("gpt-image-2")) == ()


def test_where_few_sizes_are_near_those_far_away_are_named() -> None:
    """Steps of 1 and hardly any room: 1000x1000 and, far from it, shapes of the same area."""
    narrow = FreeSizing(
        kind="free", step=1, max_edge=2000, min_pixels=1_000_000, max_pixels=1_000_000, max_ratio=3
    )
    assert nearest(intent_of("1001x1001", None, None), narrow) == ("1000x1000", "1250x800", "800x1250")


edges = st.integers(1, 9000)
ASKS = st.one_of(
    st.tuples(st.builds("{}x{}".format, edges, edges), st.none(), st.none()),
    st.tuples(st.builds("{}:{}".format, st.integers(1, 40), st.integers(1, 40)), st.none(), st.none()),
    st.tuples(
        st.none(),
        st.builds("{}:{}".format, st.integers(1, 40), st.integers(1, 40)) | st.none(),
        st.sampled_from(["512", "0.3K", "1K", "1.7K", "2K", "3K", "4K", "9K"]) | st.none(),
    ),
)


@pytest.mark.parametrize("model", MODELS)
@given(ask=ASKS)
def test_every_value_that_is_named_passes_in_place_of_the_refused_one(
    model: str, ask: tuple[str | None, str | None, str | None]
) -> None:
    intent, sizing = intent_of(*ask), sizing_of(model)
    if passes_strict(choose(intent, sizing).rule):
        return
    values = nearest(intent, sizing)
    assert 1 <= len(values) <= 3
    assert len(set(values)) == len(values)
    field = blamed(intent, choose(intent, sizing))
    said = dict(zip(("size", "aspect_ratio", "resolution"), ask, strict=True))
    assert said[field] is not None
    for value in values:
        # Pixels say all at once, so they may be offered for any field, as the size.
        instead = {"size": value} if "x" in value else {**said, field: value}
        again = intent_of(instead.get("size"), instead.get("aspect_ratio"), instead.get("resolution"))
        if field == "aspect_ratio" and said["resolution"] is not None and "x" not in value:
            # The tier may be what is wrong next.
            again = intent_of(None, value, None)
        assert passes_strict(choose(again, sizing).rule), (values, value)
