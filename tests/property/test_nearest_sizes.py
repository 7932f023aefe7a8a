"""What a refusal in strict mode names: sizes that the model makes, the one of snap mode first, then the
nearest, compared with every size that there is."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from config.sizing import FreeSizing, ListedSizing, RatioSizing, pixels_of, ratio_of
from gateway.images.free_sizing import fits, near
from gateway.images.intent import intent_of
from gateway.images.sizing import blamed, choose, nearest, passes_strict
from tests.property.test_sizing import LISTS, PUBLISHED, RATIO, TIER

LONG = st.integers(1, 120) | st.integers(3000, 99_999)
OBLONG = st.builds("{}x{}".format, LONG, LONG)
ANY = OBLONG | st.builds("{}x{}".format, st.integers(1, 5000), st.integers(1, 5000)) | RATIO
FREE = [sizing for sizing in PUBLISHED if isinstance(sizing, FreeSizing)]
NAMED = [sizing for sizing in PUBLISHED if isinstance(sizing, RatioSizing)]


@st.composite
def small(draw: st.DrawFn) -> FreeSizing:
    """Few enough sizes to try them all."""
    step = draw(st.sampled_from([1, 4, 8]))
    edge = draw(st.integers(12, 40)) * step
    least = draw(st.integers(1, 40)) * step**2
    return FreeSizing.model_validate(
        {
            "kind": "free",
            "step": step,
            "max_edge": edge,
            "min_pixels": least,
            "max_pixels": draw(st.integers(max(least, 64 * step**2), 2000 * step**2)),
            "max_ratio": draw(st.sampled_from([1, 2, 3, 8, 16])),
        }
    )


def apart(size: tuple[int, int], ratio: Fraction, area: Fraction) -> tuple[Fraction, Fraction, int, int]:
    """How far the edges are from those of a shape (squared, as factors), the one further off first."""
    width, height = size
    across, down = area * ratio, area / ratio
    edges = [max(width**2 / across, across / width**2), max(height**2 / down, down / height**2)]
    return max(edges), min(edges), -width * height, -width


@given(small(), RATIO, st.integers(1, 100_000), st.integers(1, 5))
def test_the_nearest_of_all_sizes_are_found_in_their_order(
    sizing: FreeSizing, ratio: str, area: int, count: int
) -> None:
    shape = intent_of(None, ratio, None).ratio
    assert shape is not None
    every = [
        (width, height)
        for width in range(sizing.step, sizing.max_edge + 1, sizing.step)
        for height in range(sizing.step, sizing.max_edge + 1, sizing.step)
        if fits(width, height, sizing)
    ]
    ordered = sorted(every, key=lambda size: apart(size, shape, Fraction(area)))
    assert near(Fraction(area), shape, sizing, count) == ordered[:count]


@given(ANY, st.sampled_from(FREE) | small())
def test_a_free_model_names_what_snap_mode_sends_and_then_ever_further_sizes(
    size: str, sizing: FreeSizing
) -> None:
    intent = intent_of(size, None, None)
    choice = choose(intent, sizing)
    assume(not passes_strict(choice.rule))
    values = nearest(intent, sizing)
    assert values[0] == choice.sent
    assert len(set(values)) == len(values)
    pixels = [found for value in values if (found := pixels_of(value))]
    assert len(pixels) == len(values)
    assert all(fits(*found, sizing) for found in pixels)
    # The asked shape once it is within the limits: its ratio first, then its area.
    ratio = intent.ratio
    assert ratio is not None
    most = Fraction(sizing.max_ratio)
    slim = min(max(ratio, 1 / most), most)
    area = intent.area or Fraction(sizing.default_area)
    cut = area * min(slim / ratio, ratio / slim) if intent.pixels else area
    largest = min(Fraction(sizing.max_pixels), sizing.max_edge**2 * min(slim, 1 / slim))
    room = min(max(cut, Fraction(sizing.min_pixels)), largest)
    distances = [apart(found, slim, room) for found in pixels[1:]]
    assert all(one < other for one, other in pairwise(distances))


@given(ANY, LISTS)
def test_a_list_is_named_in_the_order_of_its_rule(size: str, sizing: ListedSizing) -> None:
    intent = intent_of(size, None, None)
    choice = choose(intent, sizing)
    assume(not passes_strict(choice.rule))
    values = nearest(intent, sizing)
    assert values[0] == choice.sent
    assert set(values) <= set(sizing.sizes)
    # Without those named already, the rule comes to the next.
    left = [text for text in sizing.sizes if text != values[0]]
    if len(values) > 1:
        assert choose(intent, sizing.model_copy(update={"sizes": left})).sent == values[1]


@given(OBLONG, st.sampled_from(NAMED), TIER | st.none())
def test_pixels_that_names_come_to_are_named_nearest_ratio_first(
    size: str, sizing: RatioSizing, tier: str | None
) -> None:
    intent = intent_of(size, None, tier)
    choice = choose(intent, sizing)
    assume(not passes_strict(choice.rule))
    values = nearest(intent, sizing)
    assert blamed(intent, choice) == "size"
    assert len(set(values)) == len(values)
    if choice.pixels is not None:
        assert values[0] == choice.sent
    named = {
        pixels: ratio_of(name)
        for tier in reversed(sizing.pixels)
        for name, pixels in sizing.pixels[tier].items()
    }
    ratios = [found for value in values if (found := named.get(value) or ratio_of(value))]
    assert len(ratios) == len(values)
    asked = intent.ratio
    assert asked is not None
    assert ratios == sorted(ratios, key=lambda ratio: max(ratio / asked, asked / ratio))
    for value in values:
        assert passes_strict(choose(intent_of(value, None, None), sizing).rule)
