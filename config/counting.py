"""How many tokens a call takes, before it is made: what is published of it, as data.

gateway/images/output_tokens.py and input_tokens.py do the sums. Each rule has its source in the entry that
uses it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.prices import Source
from config.units import Share, Strict, parse_dollars

Factor = Annotated[Decimal, BeforeValidator(parse_dollars)]


class GridTokens(Strict):
    """``ceil(base × round(base × short / long) × (offset + W×H) / divisor)``, the base by quality."""

    rule: Literal["grid"]
    bases: dict[str, int]
    offset: int = 2_000_000
    divisor: int = 4_000_000


class TableTokens(Strict):
    """A published table: quality, then size. ``any`` stands for what it does not name."""

    rule: Literal["table"]
    tokens: dict[str, dict[str, int]]


class FlatTokens(Strict):
    """The same for every picture, or the most that one was seen to take."""

    rule: Literal["flat"]
    tokens: int


OutputTokens = Annotated[GridTokens | TableTokens | FlatTokens, Field(discriminator="rule")]


class PatchTokens(Strict):
    """One token a patch of ``side`` pixels, after a long edge under ``least_edge`` was scaled up to it and a
    picture of more than ``budget`` patches was scaled down to fit."""

    rule: Literal["patches"]
    side: int
    budget: int
    least_edge: int


class TileTokens(Strict):
    """``base`` and ``tile`` for each tile of ``side`` pixels, after scaling down to ``longest`` and then to
    ``shortest``; with ``input_fidelity: high`` besides ``square`` or, for other shapes, ``oblong``."""

    rule: Literal["tiles"]
    longest: int
    shortest: int
    side: int
    base: int
    tile: int
    square: int
    oblong: int


InputTokens = Annotated[PatchTokens | TileTokens | FlatTokens, Field(discriminator="rule")]


class Spread(Strict):
    """What the output rule's figure is multiplied with, where the model only resembles it."""

    low: Factor
    expected: Factor
    high: Factor


class Counting(Strict):
    """The tokens of one model's calls. Input counts once for each picture made."""

    output: OutputTokens
    input: InputTokens | None = Field(
        None, description="None: the tokens of input pictures are not known, so edits have no estimate."
    )
    partial_image: int = Field(0, description="Output tokens of each partial picture of a stream.")
    text_overhead: int = Field(
        16, description="Text tokens beyond one for each byte of the prompt in UTF-8, at most."
    )
    spread: dict[str, Spread] = Field({}, description="By quality; default: exactly the rule's figure.")
    sheets: list[str] = Field(
        [], description="Output formats whose size is a part's: the whole may be as dear as the dearest size."
    )
    margin: Share = Field(
        Decimal("0.10"), description="Held on top; nothing where the rule is exact or the spread covers it."
    )
    sources: list[Source]


class AutoChoice(Strict):
    """What ``auto`` was seen to choose from, the likeliest first. The dearest bounds a hold."""

    sizes: list[str] = Field(min_length=1)
    qualities: list[str] = Field(min_length=1)
    sources: list[Source]
