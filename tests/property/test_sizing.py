"""What holds of every size that is chosen, whatever the model and whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.catalog import load_catalog
from config.sizing import (
    AnySizing,
    FreeSizing,
    InputSizing,
    ListedSizing,
    RatioSizing,
    Sizing,
    pixels_of,
    ratio_of,
    tier_area,
)
from gateway.images.fitted import Rule, SizeChoice
from gateway.images.intent import Intent, intent_of
from gateway.images.sizing import choose, passes_strict

PUBLISHED = [entry.sizing for entry in load_catalog().entries]
EDGE = st.integers(1, 5000) | st.integers(1, 99999)
SIDE = st.integers(1, 64) | st.integers(1, 99999) | st.decimals("0.1", "99", places=2)
PIXELS = st.builds("{}x{}".format, EDGE, EDGE)
RATIO = st.builds("{}:{}".format, SIDE, SIDE)
TIER = st.sampled_from(["512", "0.5K", "1K", "2K", "4K", "8K", "16K"]) | st.decimals(
    "0.1", "16", places=2
).map("{}K".format)


@dataclass(frozen=True)
class Ask:
    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None

    @property
    def intent(self) -> Intent:
        return intent_of(self.size, self.aspect_ratio, self.resolution)


ASKS = st.one_of(
    st.builds(Ask, size=PIXELS),
    st.builds(Ask, aspect_ratio=RATIO, resolution=TIER | st.none()),
    st.builds(Ask, size=RATIO | TIER.filter(lambda tier: tier != "512") | st.just("auto") | st.none()),
)
INPUTS = st.none() | st.builds(Fraction, st.integers(1, 9999), st.integers(1, 9999))


@st.composite
def free(draw: st.DrawFn) -> FreeSizing:
    least = draw(st.integers(1, 1_000_000))
    try:
        return FreeSizing.model_validate(
            {
                "kind": "free",
                "step": draw(st.sampled_from([1, 2, 8, 16, 32, 64])),
                "max_edge": draw(st.integers(64, 4096)),
                "min_pixels": least,
                "max_pixels": least + draw(st.integers(0, 16_000_000)),
                "max_ratio": draw(st.sampled_from([1, 2, 3, 4, 16]) | st.decimals("1.1", "8", places=1)),
                "auto": draw(st.booleans()),
            }
        )
    except ValidationError:  # no size is within such limits
        assume(False)
        raise


LISTS = st.builds(
    ListedSizing,
    kind=st.just("sizes"),
    sizes=st.lists(st.builds("{}x{}".format, st.integers(64, 4096), st.integers(64, 4096)), min_size=1),
    auto=st.booleans(),
)
BY_NAME = st.lists(
    st.builds("{}:{}".format, st.integers(1, 30), st.integers(1, 30)), min_size=1, unique=True
).flatmap(
    lambda ratios: st.builds(
        RatioSizing,
        kind=st.just("ratios"),
        ratios=st.just(ratios),
        tiers=st.sampled_from([[], ["1K"], ["512", "1K", "2K", "4K"], ["1K", "2K"]]),
        default_ratio=st.sampled_from(ratios),
        auto=st.booleans(),
    )
)
SIZINGS = st.sampled_from(PUBLISHED) | free() | LISTS | BY_NAME


def fits(pixels: tuple[int, int] | None, sizing: FreeSizing) -> bool:
    assert pixels is not None
    long, short = max(pixels), min(pixels)
    return (
        long % sizing.step == 0
        and short % sizing.step == 0
        and long <= sizing.max_edge
        and sizing.min_pixels <= long * short <= sizing.max_pixels
        and Fraction(long, short) <= Fraction(sizing.max_ratio)
    )


def is_made(choice: SizeChoice, sizing: Sizing) -> bool:
    """Whether the model takes exactly what is sent."""
    if choice.sent == "auto":
        return isinstance(sizing, AnySizing | InputSizing) or sizing.auto
    if isinstance(sizing, FreeSizing):
        return fits(choice.pixels, sizing) and choice.fields == {"size": choice.sent}
    if isinstance(sizing, ListedSizing):
        return choice.fields["size"] in sizing.sizes
    if isinstance(sizing, RatioSizing):
        tier = choice.fields.get("resolution")
        return choice.fields["aspect_ratio"] in sizing.ratios and (tier in sizing.tiers or not sizing.tiers)
    return True


@given(ASKS, SIZINGS, INPUTS)
def test_no_limit_of_a_model_is_ever_broken(ask: Ask, sizing: Sizing, shown: Fraction | None) -> None:
    assert is_made(choose(ask.intent, sizing, input_ratio=shown), sizing)


@given(st.data(), free())
def test_what_a_model_makes_stays_exact(data: st.DataObject, sizing: FreeSizing) -> None:
    width, low, high = data.draw(st.sampled_from(list(sizing.shapes())[:500]))
    height = data.draw(st.sampled_from(range(low, high + 1, sizing.step)))
    choice = choose(Ask(f"{width}x{height}").intent, sizing)
    assert (choice.rule, choice.pixels) == (Rule.EXACT, (width, height))


@given(ASKS, SIZINGS, INPUTS)
def test_what_was_served_once_is_served_again_as_it_is(
    ask: Ask, sizing: Sizing, shown: Fraction | None
) -> None:
    first = choose(ask.intent, sizing, input_ratio=shown)
    fields = first.fields
    again = Ask(*(fields.get(name) for name in ("size", "aspect_ratio", "resolution")))  # type: ignore[arg-type]
    second = choose(again.intent, sizing, input_ratio=shown)
    assert (second.sent, second.pixels) == (first.sent, first.pixels)
    assert passes_strict(second.rule)


def multiples(ratio: Fraction, sizing: FreeSizing) -> Sequence[tuple[int, int]]:
    """Every size of exactly this ratio that the model makes, found by trying."""
    return [
        (width, int(width / ratio))
        for width in range(sizing.step, sizing.max_edge + 1, sizing.step)
        if (width / ratio).denominator == 1 and fits((width, int(width / ratio)), sizing)
    ]


@given(RATIO, TIER, free())
def test_a_tier_is_never_exceeded_for_an_exact_ratio_and_kept_where_that_is_possible(
    ratio: str, tier: str, sizing: FreeSizing
) -> None:
    wanted, area = ratio_of(ratio), tier_area(tier)
    assert wanted is not None
    assert area is not None
    most = Fraction(sizing.max_ratio)
    slim = min(max(wanted, 1 / most), most)
    largest = min(Fraction(sizing.max_pixels), sizing.max_edge**2 * min(slim, 1 / slim))
    room = min(max(area, Fraction(sizing.min_pixels)), largest)
    choice = choose(Ask(aspect_ratio=ratio, resolution=tier).intent, sizing)
    near = [(w, h) for w, h in multiples(slim, sizing) if room * 4 / 5 <= w * h <= room]
    if near:
        assert choice.pixels == max(near)
    elif choice.rule is Rule.FILLED and choice.pixels:
        # Rounded to the step alone, each edge by less than one.
        width, height = choice.pixels
        assert (width - sizing.step) * (height - sizing.step) < room


@given(st.builds(Ask, size=PIXELS) | st.builds(Ask, aspect_ratio=RATIO, resolution=TIER | st.none()), free())
def test_a_free_model_never_turns_a_picture(ask: Ask, sizing: FreeSizing) -> None:
    choice, intent = choose(ask.intent, sizing), ask.intent
    assert choice.pixels is not None
    assert intent.ratio is not None
    width, height = choice.pixels
    assert width >= height if intent.ratio >= 1 else width <= height


@given(st.builds(Ask, size=PIXELS | RATIO), st.data())
def test_a_listed_model_that_makes_each_shape_both_ways_never_turns_a_picture(
    ask: Ask, data: st.DataObject
) -> None:
    shapes = data.draw(st.lists(st.tuples(st.integers(64, 4096), st.integers(64, 4096)), min_size=1))
    both = [*shapes, *[(height, width) for width, height in shapes]]
    listed = ListedSizing(kind="sizes", sizes=[f"{width}x{height}" for width, height in both])
    named = RatioSizing(
        kind="ratios",
        ratios=(names := [f"{width}:{height}" for width, height in both]),
        default_ratio=names[0],
        tiers=["1K", "2K"],
    )
    asked = ask.intent.ratio
    assert asked is not None
    for sizing in (listed, named):
        fields = choose(ask.intent, sizing).fields
        pixels = pixels_of(str(fields.get("size")))
        sent = Fraction(*pixels) if pixels else ratio_of(str(fields["aspect_ratio"]))
        assert sent is not None
        assert asked == 1 or sent == 1 or (sent > 1) == (asked > 1)


def is_unchanged(intent: Intent, choice: SizeChoice, sizing: Sizing) -> bool:
    """Whether what is sent is all that was asked: the pixels, or the ratio and the tier where they were
    named."""
    if intent.is_open or sizing.kind in ("any", "input"):
        return intent.is_open or sizing.kind == "any"
    if intent.pixels is not None:
        return choice.pixels == intent.pixels or (
            isinstance(sizing, RatioSizing)
            and choice.pixels is None
            and intent.ratio == ratio_of(str(choice.fields["aspect_ratio"]))
            and intent.area == tier_area(str(choice.fields.get("resolution", sizing.default_tier)))
        )
    if isinstance(sizing, RatioSizing):
        ratio = ratio_of(str(choice.fields["aspect_ratio"]))
        area = tier_area(str(choice.fields.get("resolution", sizing.default_tier)))
        return intent.ratio in (None, ratio) and intent.area in (None, area)
    assert choice.pixels is not None
    width, height = choice.pixels
    return intent.ratio in (None, Fraction(width, height)) and (
        intent.area is None or Fraction(4, 5) <= width * height / intent.area <= Fraction(5, 4)
    )


@given(ASKS, SIZINGS)
def test_strict_mode_refuses_exactly_what_snap_would_change(ask: Ask, sizing: Sizing) -> None:
    choice = choose(ask.intent, sizing)
    if isinstance(sizing, FreeSizing) and choice.rule in (Rule.CLAMPED, Rule.RAISED, Rule.RATIO_CUT):
        # Beyond a limit, though perhaps by less than what a tier may miss.
        assert ask.intent.pixels is None or choice.pixels != ask.intent.pixels
        return
    assert passes_strict(choice.rule) == is_unchanged(ask.intent, choice, sizing)
