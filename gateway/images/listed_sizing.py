"""The rule for models that make listed sizes, or ratios and tiers by name (docs/normalization.md, Sizes and
Ratios). Distances are compared as exact factors: ``max(a/b, b/a)`` orders as ``|ln(a/b)|`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from config.sizing import ListedSizing, RatioSizing, pixels_of, ratio_of, tier_area
from gateway.images.fitted import Rule
from gateway.images.free_sizing import off
from gateway.images.intent import Intent, is_of_tier

Pixels = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a list of sizes."""

    text: str
    pixels: Pixels

    @property
    def ratio(self) -> Fraction:
        return Fraction(*self.pixels)

    @property
    def area(self) -> Fraction:
        return Fraction(self.pixels[0] * self.pixels[1])


@dataclass(frozen=True, slots=True)
class Named:
    """A ratio and a tier by name; ``pixels`` are what they come to where that is published. ``tier`` is the
    one that a model without tiers resembles, too."""

    ratio: str
    tier: str
    pixels: Pixels | None


def listed(sizing: ListedSizing) -> list[Listed]:
    """The entries in their order."""
    return [Listed(text, pixels) for text in sizing.sizes if (pixels := pixels_of(text))]


def by_nearness(ratio: Fraction, area: Fraction, sizing: ListedSizing) -> list[Listed]:
    """The nearest first: by ratio, then by area, then the larger, then as listed."""
    return sorted(listed(sizing), key=lambda one: (off(one.ratio, ratio), off(one.area, area), -one.area))


def from_sizes(intent: Intent, ratio: Fraction, area: Fraction, sizing: ListedSizing) -> tuple[Rule, Listed]:
    """The entry for a ratio and an area; ``intent`` is what of them the caller said."""
    chosen, *others = by_nearness(ratio, area, sizing)
    if intent.pixels is not None:
        return (Rule.EXACT if chosen.pixels == intent.pixels else Rule.NEAREST), chosen
    alike = [one.area for one in (chosen, *others) if off(one.ratio, ratio) == off(chosen.ratio, ratio)]
    ratio_kept = intent.ratio is None or chosen.ratio == intent.ratio
    tier_kept = intent.area is None or is_of_tier(chosen.area, intent.area)
    return _rule(intent, ratio_kept, tier_kept, alike), chosen


def ratios_by_nearness(ratio: Fraction, sizing: RatioSizing) -> list[str]:
    """The nearest first, ties as listed."""
    return sorted(sizing.ratios, key=lambda name: off(_ratio(name), ratio))


def tiers_by_nearness(area: Fraction, sizing: RatioSizing) -> list[str]:
    """The nearest first, ties to the smaller."""
    tiers = sizing.tiers or [sizing.default_tier]
    return sorted(tiers, key=lambda name: (off(_area(name), area), _area(name)))


def named(ratio: str, tier: str, sizing: RatioSizing) -> Named:
    pixels = sizing.pixels.get(tier, {}).get(ratio)
    return Named(ratio, tier, pixels_of(pixels) if pixels else None)


def from_ratios(
    intent: Intent, ratio: Fraction, area: Fraction | None, sizing: RatioSizing
) -> tuple[Rule, Named]:
    """The ratio and the tier for a ratio and an area (None: the model's own)."""
    nearest = ratios_by_nearness(ratio, sizing)[0]
    tier = sizing.default_tier if area is None else tiers_by_nearness(area, sizing)[0]
    chosen = named(nearest, tier, sizing)
    if intent.pixels is not None:
        return (Rule.EXACT if _comes_to(chosen, intent.pixels) else Rule.NEAREST), chosen
    ratio_kept = intent.ratio is None or _ratio(nearest) == intent.ratio
    tier_kept = intent.area is None or _area(tier) == intent.area
    return _rule(intent, ratio_kept, tier_kept, [_area(name) for name in sizing.tiers or [tier]]), chosen


def _rule(intent: Intent, ratio_kept: bool, tier_kept: bool, possible: Sequence[Fraction]) -> Rule:
    """For what was asked without pixels. ``possible`` are the areas that could have been sent with this
    ratio: a tier beyond all of them is cut or raised, one in between goes to the nearest."""
    if intent.area is not None and not tier_kept:
        if intent.area < min(possible):
            return Rule.RAISED
        if intent.area > max(possible):
            return Rule.CLAMPED
    return Rule.FILLED if ratio_kept and tier_kept else Rule.NEAREST


def _comes_to(chosen: Named, pixels: Pixels) -> bool:
    if chosen.pixels is not None:
        return chosen.pixels == pixels
    width, height = pixels
    return _ratio(chosen.ratio) == Fraction(width, height) and _area(chosen.tier) == width * height


def _ratio(name: str) -> Fraction:
    ratio = ratio_of(name)
    assert ratio is not None, name
    return ratio


def _area(name: str) -> Fraction:
    area = tier_area(name)
    assert area is not None, name
    return area
