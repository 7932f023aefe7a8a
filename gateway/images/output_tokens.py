"""What comes out, in tokens: one picture by quality and size (rules: config/counting.py)."""

from __future__ import annotations

from fractions import Fraction

from config.counting import FlatTokens, GridTokens, OutputTokens
from gateway.images.sizing import parse_size
from gateway.images.tables import dearest


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
    return -(-base * rows * (rule.offset + width * height) // rule.divisor)
