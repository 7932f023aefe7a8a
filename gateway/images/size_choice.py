"""The size that a model is sent for what a caller wants: open intents, and the way into each of the five
kinds of sizing (docs/normalization.md)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from config.sizing import AnySizing, FreeSizing, InputSizing, ListedSizing, RatioSizing, Sizing, ratio_of
from gateway.images import free_sizing
from gateway.images.fitted import Rule, SizeChoice
from gateway.images.intent import AUTO, Intent
from gateway.images.listed_sizing import Named, from_ratios, from_sizes

_STRICT = frozenset({Rule.EXACT, Rule.AUTO, Rule.FILLED})


def passes_strict(rule: Rule) -> bool:
    """Whether a size that came about so is what the caller asked for."""
    return rule in _STRICT


def choose(intent: Intent, sizing: Sizing, *, input_ratio: Fraction | None = None) -> SizeChoice:
    """The size for a model of this sizing; never refuses. ``input_ratio`` is width over height of an edit's
    first picture once it stands upright, and counts where the caller names no ratio."""
    if isinstance(sizing, AnySizing):
        return _as_asked(intent)
    if isinstance(sizing, InputSizing):
        return SizeChoice(Rule.AUTO if intent.is_open else Rule.NEAREST, intent.requested, AUTO, {})
    if intent.is_open and sizing.auto:
        return SizeChoice(Rule.AUTO, intent.requested, AUTO, _auto(intent, sizing))
    ratio = intent.ratio or input_ratio or ratio_of(sizing.default_ratio)
    assert ratio is not None
    if isinstance(sizing, RatioSizing):
        rule, chosen = from_ratios(intent, ratio, intent.area, sizing)
        sent, fields, pixels = _sent(chosen, sizing), _fields(chosen, sizing), chosen.pixels
    elif isinstance(sizing, ListedSizing):
        rule, entry = from_sizes(intent, ratio, intent.area or Fraction(sizing.default_area), sizing)
        sent, fields, pixels = entry.text, {"size": entry.text}, entry.pixels
    else:
        rule, pixels = _free(intent, ratio, sizing)
        sent = f"{pixels[0]}x{pixels[1]}"
        fields = {"size": sent}
    # Where nothing was asked, nothing was changed.
    return SizeChoice(Rule.AUTO if intent.is_open else rule, intent.requested, sent, fields, pixels)


def _free(intent: Intent, ratio: Fraction, sizing: FreeSizing) -> tuple[Rule, tuple[int, int]]:
    if intent.pixels is not None:
        return free_sizing.explicit(*intent.pixels, sizing)
    return free_sizing.filled(
        ratio,
        intent.area or Fraction(sizing.default_area),
        sizing,
        ratio_given=intent.ratio is not None,
        area_given=intent.area is not None,
    )


def _as_asked(intent: Intent) -> SizeChoice:
    rule = Rule.AUTO if intent.is_open else Rule.EXACT if intent.pixels else Rule.FILLED
    return SizeChoice(rule, intent.requested, intent.requested or AUTO, dict(intent.asked), intent.pixels)


def _auto(intent: Intent, sizing: Sizing) -> Mapping[str, object]:
    """A caller's own ``auto`` is sent on where the model knows the word."""
    is_word = intent.requested == AUTO and not isinstance(sizing, RatioSizing)
    return {"size": AUTO} if is_word else {}


def _sent(chosen: Named, sizing: RatioSizing) -> str:
    if chosen.pixels is not None:
        return f"{chosen.pixels[0]}x{chosen.pixels[1]}"
    return f"{chosen.ratio}@{chosen.tier}" if sizing.tiers else chosen.ratio


def _fields(chosen: Named, sizing: RatioSizing) -> Mapping[str, object]:
    tier = {"resolution": chosen.tier} if sizing.tiers else {}
    return {"aspect_ratio": chosen.ratio, **tier}
