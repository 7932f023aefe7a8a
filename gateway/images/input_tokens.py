"""What goes in, in tokens: input pictures by their size, text by its bytes (rules: config/counting.py).

Exact integers all the way: a patch count that floats get wrong by one is a wrong price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from config.counting import Counting, FlatTokens, InputTokens, PatchTokens, TileTokens
from gateway.images.call import UNSEEN, ImageCall, InputSize


def every_input(call: ImageCall, inputs: Sequence[InputSize]) -> list[InputSize]:
    """One size for each picture that goes in, mask and markup included; what was not given is unseen."""
    sent = len(call.images) + sum(extra is not None for extra in (call.mask, call.markup))
    return [*inputs, *[UNSEEN] * (sent - len(inputs))]


def input_picture_tokens(rule: InputTokens, size: InputSize, *, fidelity: str | None = None) -> int:
    """Of one picture; the most that any picture takes where its size is not known."""
    if isinstance(rule, FlatTokens):
        return rule.tokens
    if isinstance(rule, PatchTokens):
        return _patches(rule, *size.pixels) if size.pixels else rule.budget
    return _tiles(rule, size.pixels, is_high=fidelity == "high")


def text_bytes(prompt: str) -> int:
    """How long a prompt is in UTF-8."""
    return len(prompt) if prompt.isascii() else len(prompt.encode("utf-8", "surrogatepass"))


def most_text_tokens(counting: Counting, length: int) -> int:
    """Of a prompt of ``length`` bytes: no tokenizer makes more than one token of a byte."""
    return counting.text_overhead + length


def likely_text_tokens(counting: Counting, length: int) -> int:
    return min(most_text_tokens(counting, length), 6 + _ceil(length, 4))


def _patches(rule: PatchTokens, width: int, height: int) -> int:
    """``side × side`` patches that cover the picture, never more than ``budget``.

    Over budget a picture is scaled by ``sqrt(budget × side² / (W×H))`` and then until one edge is a whole
    number of patches. Then that edge is ``isqrt(budget × W / H)`` patches (or the same for H), and the other
    follows from the shape.
    """
    long = max(width, height)
    if long < rule.least_edge:
        across, down = (_ceil(edge * rule.least_edge, long * rule.side) for edge in (width, height))
    else:
        across, down = _ceil(width, rule.side), _ceil(height, rule.side)
    if across * down <= rule.budget:
        return across * down
    across, down = math.isqrt(rule.budget * width // height), math.isqrt(rule.budget * height // width)
    if not across or not down:
        return rule.budget
    if across * height <= down * width:
        return across * _ceil(across * height, width)
    return down * _ceil(down * width, height)


def _tiles(rule: TileTokens, pixels: tuple[int, int] | None, *, is_high: bool) -> int:
    if pixels is None:
        tiles = _ceil(rule.longest, rule.side) * _ceil(rule.shortest, rule.side)
        return rule.base + rule.tile * tiles + (max(rule.square, rule.oblong) if is_high else 0)
    scale = min(Fraction(1), Fraction(rule.longest, max(pixels)))
    scale *= min(Fraction(1), rule.shortest / (min(pixels) * scale))
    tiles = math.prod(math.ceil(edge * scale / rule.side) for edge in pixels)
    extra = rule.square if pixels[0] == pixels[1] else rule.oblong
    return rule.base + rule.tile * tiles + (extra if is_high else 0)


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
