"""What comes out, in tokens: one picture by quality and size (rules: config/counting.py)."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from config.counting import Counting, FlatTokens, GridTokens, OutputTokens
from gateway.images.sizing import parse_size
from gateway.images.tables import dearest


def picture_range(counting: Counting, quality: str | None, size: str | None) -> tuple[int, int, int] | None:
    """Low, expected and high of one picture; None where the size is needed and does not tell."""
    made = picture_tokens(counting.output, quality, size)
    if made is None:
        return None
    spread = counting.spread.get(quality) if quality is not None else None
    if spread is None:
        return made, made, made
    return max(int(made * spread.low), 1), _up(made * spread.expected), _up(made * spread.high)


def _up(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


def picture_tokens(rule: OutputTokens, quality: str | None, size: str | None) -> int | None:
    """Of one picture of ``size`` (``WIDTHxHEIGHT``). A quality that the rule does not know counts as the
    dearest; None where the size is needed and does not tell."""
    if isinstance(rule, FlatTokens):
        return rule.tokens
    if not isinstance(rule, GridTokens):
        return dearest(rule.tokens, quality, size)[0]
    pixels = parse_size(size) if size is not None else None
    if pixels is None:
        return None
    base = rule.bases[quality] if quality in rule.bases else max(rule.bases.values())
    return _grid(rule, base, *pixels)


def _grid(rule: GridTokens, base: int, width: int, height: int) -> int:
    short, long = sorted((width, height))
    rows = round(Fraction(base * short, long))  # a Fraction rounds half to even, as the formula does
    # A shape so oblong that no row is left is refused by the provider; an estimate is never nothing.
    return max(-(-base * rows * (rule.offset + width * height) // rule.divisor), 1)
