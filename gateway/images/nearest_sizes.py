"""Valid values for a refusal in strict mode: the ones nearest to what was asked, in the words of the field
that is refused, so that the caller can send one of them in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

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
from gateway.images import free_sizing
from gateway.images.fitted import SizeChoice
from gateway.images.free_sizing import off
from gateway.images.intent import AUTO, Intent
from gateway.images.listed_sizing import by_nearness, listed, ratios_by_nearness, tiers_by_nearness
from gateway.images.size_choice import choose, passes_strict

_SHAPES = (
    "1:1",
    "5:4",
    "4:3",
    "7:5",
    "3:2",
    "16:10",
    "5:3",
    "16:9",
    "2:1",
    "21:9",
    "5:2",
    "3:1",
    "4:1",
    "8:1",
)
_RATIOS = tuple(
    dict.fromkeys(side for shape in _SHAPES for side in (shape, ":".join(shape.split(":")[::-1])))
)
_TIERS = ("512", "0.75K", "1K", "1.25K", "1.5K", "2K", "2.5K", "3K", "4K", "6K", "8K", "16K")
"""Ratios and tiers that people use, for models that make any."""


def blamed(intent: Intent, choice: SizeChoice) -> str:
    """The field that the model cannot serve as asked, of those that the caller sent."""
    if intent.pixels is None and intent.ratio is not None and intent.area is not None:
        named = choice.fields.get("aspect_ratio")
        sent = Fraction(*choice.pixels) if choice.pixels else None
        return _field(intent, intent.ratio != (ratio_of(str(named)) if named else sent))
    return _field(intent, intent.ratio is not None)


def nearest(intent: Intent, sizing: Sizing, count: int = 3) -> tuple[str, ...]:
    """The values of the blamed field that pass strict mode, the nearest first; fewer where the model has
    fewer, none where it takes anything."""
    if isinstance(sizing, AnySizing) or intent.is_open:
        return ()
    if isinstance(sizing, InputSizing):
        return (AUTO,)
    choice = choose(intent, sizing)
    field = blamed(intent, choice)
    if field == "size":
        values = _sizes(intent, choice, sizing, count)
    elif field == "aspect_ratio":
        values = _ratios(intent, sizing)
    else:
        values = _tiers(intent, sizing)
    return _first(values, count) or _first(_sizes(intent, choice, sizing, count), count)


def _first(values: Iterable[str], count: int) -> tuple[str, ...]:
    """So many different ones; the rest is not worked out."""
    found: list[str] = []
    for value in values:
        if value not in found:
            found.append(value)
        if len(found) == count:
            break
    return tuple(found)


def _field(intent: Intent, is_ratio: bool) -> str:
    """The field that said the ratio, or the tier; ``size`` may say either, and says both where it has
    pixels."""
    parse = ratio_of if is_ratio else tier_area
    size = intent.asked.get("size")
    if intent.pixels is not None or (size is not None and parse(size) is not None):
        return "size"
    return "aspect_ratio" if is_ratio else "resolution"


def _sizes(intent: Intent, choice: SizeChoice, sizing: Sizing, count: int) -> Iterable[str]:
    ratio = intent.ratio or (Fraction(*choice.pixels) if choice.pixels else Fraction(1))
    if isinstance(sizing, ListedSizing):
        area = intent.area or Fraction(sizing.default_area)
        return [one.text for one in by_nearness(ratio, area, sizing)]
    if isinstance(sizing, FreeSizing):
        area = intent.area or Fraction(sizing.default_area)
        return _free_sizes(ratio, area, intent, choice, sizing, count)
    assert isinstance(sizing, RatioSizing)
    if intent.ratio is None and intent.area is not None:
        return tiers_by_nearness(intent.area, sizing)
    if intent.pixels is None or not sizing.pixels:
        return ratios_by_nearness(ratio, sizing)
    return _published(ratio, intent.area or Fraction(1), sizing)


def _free_sizes(
    ratio: Fraction, area: Fraction, intent: Intent, choice: SizeChoice, sizing: FreeSizing, count: int
) -> Iterator[str]:
    """What is served instead, then those nearest to what was asked, once that is within the limits."""
    yield choice.sent
    if intent.pixels is not None:
        ratio, area = free_sizing.written_within(*intent.pixels, sizing)
    else:
        ratio, area = free_sizing.within(ratio, area, sizing)
    for width, height in free_sizing.near(area, ratio, sizing, count):
        yield f"{width}x{height}"


def _published(ratio: Fraction, area: Fraction, sizing: RatioSizing) -> Iterator[str]:
    """Pixels that ratios and tiers come to, which may be asked for as such, in the order of the rule: the
    nearest ratio, then the nearest tier."""
    for name in ratios_by_nearness(ratio, sizing):
        for tier in tiers_by_nearness(area, sizing):
            text = sizing.pixels.get(tier, {}).get(name, "")
            pixels = pixels_of(text)
            if pixels is None:
                continue
            exact = Intent(pixels, Fraction(*pixels), Fraction(pixels[0] * pixels[1]), text, {"size": text})
            if passes_strict(choose(exact, sizing).rule):
                yield text


def _ratios(intent: Intent, sizing: Sizing) -> Iterator[str]:
    """Ratios that are served exactly, with the asked tier where that can be."""
    assert intent.ratio is not None
    if isinstance(sizing, RatioSizing):
        yield from ratios_by_nearness(intent.ratio, sizing)
        return
    if isinstance(sizing, ListedSizing):
        names = tuple(f"{one.ratio.numerator}:{one.ratio.denominator}" for one in listed(sizing))
    else:
        names = _RATIOS
    wanted = intent.ratio
    for name in sorted(names, key=lambda name: off(ratio_of(name) or wanted, wanted)):
        if passes_strict(choose(replace(intent, pixels=None, ratio=ratio_of(name)), sizing).rule):
            yield name


def _tiers(intent: Intent, sizing: Sizing) -> Iterator[str]:
    """Tiers that are served as asked, with the asked ratio where there is one."""
    assert intent.area is not None
    if isinstance(sizing, RatioSizing):
        yield from tiers_by_nearness(intent.area, sizing)
        return
    wanted = intent.area
    for name in sorted(_TIERS, key=lambda name: off(tier_area(name) or wanted, wanted)):
        if passes_strict(choose(replace(intent, area=tier_area(name)), sizing).rule):
            yield name
