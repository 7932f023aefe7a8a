"""What a caller wants, from three fields: their forms, which is stronger, and what contradicts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.images.intent import SIZE_FIELDS, Intent, intent_of

K = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ("1024x1536", (1024, 1536)),
        ("1024X1536", (1024, 1536)),
        ("1024*1536", (1024, 1536)),
        ("1024×1536", (1024, 1536)),
        ("  512x512\t", (512, 512)),
        ("1x99999", (1, 99999)),
        ("0512x00016", (512, 16)),
    ],
)
def test_pixels_in_every_spelling_fix_ratio_and_area(size: str, pixels: tuple[int, int]) -> None:
    intent = intent_of(size, None, None)
    assert intent.pixels == pixels
    assert (intent.ratio, intent.area) == (Fraction(*pixels), pixels[0] * pixels[1])
    assert intent.requested == f"{pixels[0]}x{pixels[1]}"
    assert not intent.is_open


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("16:9", Fraction(16, 9)),
        (" 1.85:1 ", Fraction(185, 100)),
        ("1:2.35", Fraction(100, 235)),
        ("32:18", Fraction(16, 9)),
    ],
)
def test_a_ratio_is_exact_and_means_the_same_in_both_fields(text: str, ratio: Fraction) -> None:
    for intent in (intent_of(text, None, None), intent_of(None, text, None)):
        assert (intent.ratio, intent.area, intent.pixels) == (ratio, None, None)
        assert intent.requested == text.strip()


@pytest.mark.parametrize(
    ("text", "area", "requested"),
    [
        ("1K", K, "1K"),
        ("2k", 4 * K, "2K"),
        ("0.5K", K // 4, "0.5K"),
        ("1.5k", Fraction(9, 4) * K, "1.5K"),
        ("16K", 256 * K, "16K"),
    ],
)
def test_a_tier_is_an_area_and_means_the_same_in_both_fields(
    text: str, area: Fraction, requested: str
) -> None:
    for intent in (intent_of(text, None, None), intent_of(None, None, text)):
        assert (intent.ratio, intent.area, intent.requested) == (None, area, requested)


def test_a_bare_512_is_half_a_k_and_only_as_a_resolution() -> None:
    assert intent_of(None, None, " 512 ").area == K // 4
    with pytest.raises(InvalidRequest, match="Invalid size '512'"):
        intent_of("512", None, None)


NO_SIZES = [
    "bogus", "0x0", "0x512", "512x0", "1024x", "x1024", "1024x1024x1024", "100000x1", "1x100000", "-1x1",
    "1.5x2", "10:0", "0:1", "16:", ":9", "1:-1", "0K", "16.1K", "17k", "K", "1KK", "2048", "auto1",
    "1e3x1e3", "123456:1", "1.1234567:1",
]  # fmt: skip
NO_RATIOS = ["wide", "1024x1024", "2K", "0:0", "16/9", "1.5", "16:9:1", ".5:1"]
NO_TIERS = ["16:9", "1024x1024", "1024", "0512", "2", "0.0K", "-1K", "99K"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("size", text) for text in ("", "1024 x 1024", "\uff11\uff10x10", "1x1\n1x1", *NO_SIZES)],
        *[("aspect_ratio", text) for text in ("", "16 : 9", *NO_RATIOS)],
        *[("resolution", text) for text in ("", "4 K", "2\u212a", *NO_TIERS)],
    ],
)
def test_anything_else_is_refused_and_the_field_named(field: str, value: str) -> None:
    given = {name: value if name == field else None for name in SIZE_FIELDS}
    with pytest.raises(InvalidRequest) as refused:
        intent_of(given["size"], given["aspect_ratio"], given["resolution"])
    assert (refused.value.param, refused.value.code, refused.value.status) == (field, "invalid_value", 400)
    assert "for example" in refused.value.message


def test_nothing_and_auto_leave_everything_open() -> None:
    assert intent_of(None, None, None) == Intent()
    for said in (("auto", None, None), (None, " AUTO ", None), ("auto", "auto", "auto")):
        intent = intent_of(*said)
        assert intent.is_open
        assert intent.requested == "auto"
    assert intent_of("auto", "16:9", None) == intent_of(None, "16:9", None)
    assert intent_of("1024x1024", "auto", "auto") == intent_of("1024x1024", None, None)


def test_a_ratio_and_a_tier_belong_together_wherever_they_stand() -> None:
    wanted = (Fraction(16, 9), 4 * K, "16:9@2K")
    for said in ((None, "16:9", "2K"), ("16:9", None, "2k"), ("2K", "16:9", None)):
        intent = intent_of(*said)
        assert (intent.ratio, intent.area, intent.requested) == wanted
        assert intent.ignored == ()


@pytest.mark.parametrize(
    ("said", "requested", "ignored"),
    [
        (("1024x1024", "16:9", None), "1024x1024", ["aspect_ratio"]),
        (("1024x1024", None, "2K"), "1024x1024", ["resolution"]),
        (("1024x1024", "16:9", "4K"), "1024x1024", ["aspect_ratio", "resolution"]),
        (("16:9", "3:2", None), "16:9", ["aspect_ratio"]),
        (("16:9", "3:2", "2K"), "16:9@2K", ["aspect_ratio"]),
        (("2K", None, "4K"), "2K", ["resolution"]),
        (("2K", "1:1", "1K"), "1:1@2K", ["resolution"]),
    ],
)
def test_what_contradicts_a_stronger_field_is_ignored_and_named(
    said: tuple[str | None, str | None, str | None], requested: str, ignored: list[str]
) -> None:
    intent = intent_of(*said)
    assert intent.requested == requested
    assert [field for field, _, _ in intent.ignored] == ignored
    assert all("size" in reason for _, _, reason in intent.ignored)
    assert not set(ignored) & set(intent.asked)


@pytest.mark.parametrize(
    "said",
    [
        ("1536x864", "16:9", None),
        ("1536x864", "32:18", None),
        ("1366x768", "16:9", None),
        ("1024x1024", None, "1K"),
        ("2560x1440", "16:9", "2K"),
        ("1376x768", None, "1K"),
        ("16:9", "32:18", None),
        ("0.5K", None, "512"),
    ],
)
def test_what_says_the_same_twice_is_no_contradiction(
    said: tuple[str | None, str | None, str | None],
) -> None:
    assert intent_of(*said).ignored == ()


@given(st.text(max_size=30), st.sampled_from(range(3)))
def test_any_text_is_an_intent_or_a_refusal(text: str, place: int) -> None:
    said: list[str | None] = [None, None, None]
    said[place] = text
    refused = read = None
    try:
        read = intent_of(*said)
    except InvalidRequest as refusal:
        refused = refusal
    assert (refused.param == SIZE_FIELDS[place]) if refused else (read and (read.is_open or read.requested))
