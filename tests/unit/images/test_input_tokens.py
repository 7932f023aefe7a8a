"""Input tokens: live values, exact bounds, and nothing that floats could get wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.counting import Counting, PatchTokens
from gateway.images.call import UNSEEN, InputSize
from gateway.images.input_tokens import (
    every_input,
    input_picture_tokens,
    likely_text_tokens,
    most_text_tokens,
    text_bytes,
)
from tests.unit.images.priced import URL, call, entry

EDGE = st.integers(1, 20_000)


def counting_of(name: str) -> Counting:
    found = entry(name).counting
    assert found is not None
    return found


def tokens(name: str, width: int, height: int, fidelity: str | None = None) -> int:
    rule = counting_of(name).input
    assert rule is not None
    return input_picture_tokens(rule, InputSize(width, height), fidelity=fidelity)


@pytest.mark.parametrize(
    ("width", "height", "live"), [(1024, 1024, 1024), (1536, 1024, 1536), (341, 512, 704), (1179, 2556, 1482)]
)
@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.6-flare"])
def test_patches_are_what_live_usage_reported(model: str, width: int, height: int, live: int) -> None:
    assert tokens(model, width, height) == live
    assert tokens(model, height, width) == live


@given(EDGE, EDGE)
@example(1, 20_000)
@example(10, 60_000)
@example(1025, 1536)
def test_no_picture_takes_more_than_the_budget(width: int, height: int) -> None:
    assert 1 <= tokens("gpt-image-2", width, height) <= 1536


@given(st.integers(1024, 8192), st.integers(1024, 8192))
def test_patches_over_budget_follow_the_published_scaling(width: int, height: int) -> None:
    """The rule as it is written down, in floats, away from where floats cannot decide."""
    if math.ceil(width / 32) * math.ceil(height / 32) <= 1536:
        return
    s = math.sqrt(1024 * 1536 / (width * height))
    a, b = width * s / 32, height * s / 32
    if min(abs(edge - round(edge)) for edge in (a, b)) < 1e-9:
        return
    s *= min(math.floor(a) / a, math.floor(b) / b)
    across, down = (round(edge * s / 32, 9) for edge in (width, height))
    assert tokens("gpt-image-2", width, height) == math.ceil(across) * math.ceil(down)


@pytest.mark.parametrize(
    ("width", "height", "fidelity", "expected"),
    [
        (1024, 1024, None, 194),  # as recorded
        (1024, 1024, "low", 194),
        (1024, 1024, "high", 194 + 4160),
        (1024, 1536, None, 65 + 129 * 2),
        (1024, 1536, "high", 65 + 129 * 2 + 6240),
        (300, 300, None, 194),
        (200, 900, None, 65 + 129 * 2),
        (4096, 2048, None, 65 + 129 * 2),
        (2048, 100, None, 65 + 129 * 4),
    ],
)
def test_tiles_of_the_first_family(width: int, height: int, fidelity: str | None, expected: int) -> None:
    assert tokens("gpt-image-1.5", width, height, fidelity) == expected


@given(EDGE, EDGE, st.sampled_from(["low", "high"]))
def test_an_unseen_picture_counts_as_the_largest(width: int, height: int, fidelity: str) -> None:
    for model in ("gpt-image-2", "gpt-image-1.5"):
        rule = counting_of(model).input
        assert rule is not None
        unseen = input_picture_tokens(rule, UNSEEN, fidelity=fidelity)
        assert tokens(model, width, height, fidelity) <= unseen


def test_the_largest_is_1536_patches_or_four_tiles() -> None:
    two, one = counting_of("gpt-image-2").input, counting_of("gpt-image-1.5").input
    assert isinstance(two, PatchTokens)
    assert one is not None
    assert input_picture_tokens(two, UNSEEN) == 1536
    assert input_picture_tokens(one, UNSEEN) == 65 + 4 * 129
    assert input_picture_tokens(one, UNSEEN, fidelity="high") == 65 + 4 * 129 + 6240
    assert input_picture_tokens(two, InputSize(1024, None)) == 1536


def test_mask_and_markup_go_in_too_and_what_is_not_given_is_unseen() -> None:
    edit = call(images=[URL, URL], mask=URL)
    known = InputSize(64, 64)
    assert every_input(edit, [known]) == [known, UNSEEN, UNSEEN]
    assert every_input(call(), []) == []


@given(st.text())
def test_text_is_bounded_by_its_bytes(prompt: str) -> None:
    counting = counting_of("gpt-image-2")
    length = text_bytes(prompt)
    assert length == len(prompt.encode("utf-8", "surrogatepass"))
    assert most_text_tokens(counting, length) == 16 + length
    assert likely_text_tokens(counting, length) <= most_text_tokens(counting, length)


@pytest.mark.parametrize(("length", "likely"), [(0, 6), (1, 7), (4, 7), (5, 8), (40, 16), (41, 17)])
def test_text_is_likely_a_token_for_four_bytes_and_six_around_it(length: int, likely: int) -> None:
    assert likely_text_tokens(counting_of("gpt-image-2"), length) == likely


def test_text_bounds_hold_for_the_recorded_calls() -> None:
    counting = counting_of("gpt-image-2")
    assert most_text_tokens(counting, text_bytes("a cute baby sea otter")) >= 11
    assert most_text_tokens(counting, text_bytes("word " * 20)) >= 45
    assert most_text_tokens(counting, text_bytes("é")) == 18
    assert most_text_tokens(counting, text_bytes("\ud800")) == 19
