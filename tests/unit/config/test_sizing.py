"""Sizes, ratios, tiers and masks as data: what is read of them and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from config.inputs import Inputs, Mask
from config.sizing import FreeSizing, Sizing, pixels_of, ratio_of, tier_area

FREE = {
    "kind": "free",
    "step": 16,
    "max_edge": 3840,
    "min_pixels": 655_360,
    "max_pixels": 8_294_400,
    "max_ratio": 3,
}


def read(**settings: object) -> Sizing:
    adapter: TypeAdapter[Sizing] = TypeAdapter(Sizing)
    return adapter.validate_python(settings)


def test_pixels_ratios_and_tiers_are_exact() -> None:
    assert pixels_of("1536x1024") == (1536, 1024)
    assert ratio_of("1.85:1") == Fraction(37, 20)
    assert (tier_area("512"), tier_area("0.5K"), tier_area("2k")) == (512**2, 512**2, 2048**2)


@pytest.mark.parametrize("text", ["", "1024", "0x1", "1024X1", "100000x1", "01x1", "16:9", "1 x 1"])
def test_what_is_no_size_has_no_pixels(text: str) -> None:
    assert pixels_of(text) is None


@pytest.mark.parametrize("text", ["", "16", "0:1", "1:0", "0.0:1", "a:b", "1:1:1", "-1:1"])
def test_what_is_no_ratio_is_none(text: str) -> None:
    assert ratio_of(text) is None


@pytest.mark.parametrize("text", ["", "K", "0K", "17K", "1024", "1M", "-1K"])
def test_what_is_no_tier_is_none(text: str) -> None:
    assert tier_area(text) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**FREE, "min_pixels": 9_000_000}, "no size is within these limits"),
        ({**FREE, "step": 4000}, "no size is within these limits"),
        ({**FREE, "max_ratio": 0}, "greater than or equal to 1"),
        ({"kind": "sizes", "sizes": ["1024"]}, "expected pixels such as 1536x1024, got '1024'"),
        ({"kind": "sizes", "sizes": []}, "at least 1 item"),
        ({"kind": "ratios", "ratios": ["1:0", "1:1"]}, "expected a ratio such as 16:9, got '1:0'"),
        ({"kind": "ratios", "ratios": ["1:1"], "tiers": ["1024"]}, "expected a tier such as 2K, or 512"),
        ({"kind": "ratios", "ratios": ["3:2"]}, "default_ratio 1:1 is not one of the ratios"),
        ({"kind": "ratios", "ratios": ["1:1"], "tiers": ["2K"]}, "default_tier 1K is not one of the tiers"),
        (
            {"kind": "ratios", "ratios": ["1:1"], "pixels": {"2K": {"1:1": "1x1"}}},
            "pixels names the tier 2K, which is not one of the tiers",
        ),
        (
            {"kind": "ratios", "ratios": ["1:1"], "pixels": {"1K": {"3:2": "3x2"}}},
            "pixels names the ratio 3:2, which is not one of the ratios",
        ),
    ],
)
def test_a_sizing_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(**settings)


def test_a_ratio_limit_may_have_decimals_and_is_told_as_a_number() -> None:
    sizing = read(**{**FREE, "max_ratio": Decimal("2.5")})
    assert isinstance(sizing, FreeSizing)
    assert sizing.max_ratio == Decimal("2.5")
    assert json.loads(sizing.model_dump_json())["max_ratio"] == 2.5
    assert '"max_ratio":3,' in read(**FREE).model_dump_json()


@given(
    st.sampled_from([1, 4, 16]), st.integers(16, 160), st.integers(1, 9000), st.integers(0, 9000),
    st.sampled_from([1, Decimal("1.5"), 3]),
)  # fmt: skip
def test_shapes_are_all_that_the_limits_allow(
    step: int, edge: int, least: int, more: int, ratio: Decimal
) -> None:
    every = {
        (width, height)
        for width in range(step, edge + 1, step)
        for height in range(step, edge + 1, step)
        if least <= width * height <= least + more and max(width, height) <= ratio * min(width, height)
    }
    limits = {"kind": "free", "step": step, "max_edge": edge, "min_pixels": least, "max_pixels": least + more}
    if not every:
        with pytest.raises(ValidationError):
            FreeSizing.model_validate({**limits, "max_ratio": ratio})
        return
    sizing = FreeSizing.model_validate({**limits, "max_ratio": ratio})
    found = {(width, height) for width, low, high in sizing.shapes() for height in range(low, high + 1, step)}
    assert found == every


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (True, Mask()),
        (False, None),
        (None, None),
        ("white", Mask(polarity="white")),
        ({"polarity": "black", "equal_size": False}, Mask(polarity="black", equal_size=False)),
    ],
)
def test_a_mask_may_be_written_short(written: object, meant: Mask | None) -> None:
    assert Inputs.model_validate({"mask": written}).mask == meant


def test_openais_masks_are_transparent_where_edited_and_as_large_as_the_picture() -> None:
    assert Inputs().mask == Mask(polarity="transparent", equal_size=True)
    assert Inputs().forms == ["file", "url", "data"]
    with pytest.raises(ValidationError, match="transparent"):
        Inputs.model_validate({"mask": "red"})
