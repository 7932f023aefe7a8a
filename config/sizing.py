"""Which sizes a model makes: one of five kinds, as data. gateway/images/sizing.py holds the rule that turns
what a caller asks for into one of them (docs/normalization.md).

Every kind knows what it falls back on where a caller leaves the ratio or the area open, and whether the model
has an ``auto`` of its own, which chooses both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from config.units import Strict

_PIXELS = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_RATIO = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,6})?):([0-9]{1,5}(?:\.[0-9]{1,6})?)", re.ASCII)
_TIER = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?)[kK]", re.ASCII)
_LARGEST_TIER = 16
HALF_K = "512"
"""The one tier that is written without a K: 0.5K."""


def pixels_of(text: str) -> tuple[int, int] | None:
    """Width and height of ``1024x1536``; None for anything else."""
    match = _PIXELS.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def ratio_of(text: str) -> Fraction | None:
    """``16:9`` or ``1.85:1`` exactly; None for anything else, a side of 0 included."""
    match = _RATIO.fullmatch(text)
    if match is None:
        return None
    across, down = Fraction(match[1]), Fraction(match[2])
    return across / down if across and down else None


def tier_area(text: str) -> Fraction | None:
    """The pixels of ``2K`` or ``512`` in all, (k·1024)² exactly; None for anything else."""
    if text == HALF_K:
        return Fraction(512 * 512)
    match = _TIER.fullmatch(text)
    k = Fraction(match[1]) if match else Fraction(0)
    return (k * 1024) ** 2 if 0 < k <= _LARGEST_TIER else None


def _known(parse: object, example: str) -> AfterValidator:
    def check(text: str) -> str:
        assert callable(parse)
        if parse(text) is None:
            raise ValueError(f"expected {example}, got {text!r}")
        return text

    return AfterValidator(check)


Pixels = Annotated[str, _known(pixels_of, "pixels such as 1536x1024")]
Ratio = Annotated[str, _known(ratio_of, "a ratio such as 16:9")]
Tier = Annotated[str, _known(tier_area, "a tier such as 2K, or 512")]
Factor = Annotated[
    Decimal,
    Field(ge=1, le=100_000),
    PlainSerializer(lambda value: int(value) if value == int(value) else float(value), when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "format": "number", "examples": [3]}),
]


class FreeSizing(Strict):
    """Any W×H within limits (gpt-image-2 and later)."""

    kind: Literal["free"] = Field(description="Any W×H within limits.")
    step: int = Field(ge=1, description="Both edges are multiples of it.")
    max_edge: int = Field(ge=1, le=99_999, description="The longer edge, at most.")
    min_pixels: int = Field(ge=1, description="Width times height, at least.")
    max_pixels: int = Field(ge=1, description="Width times height, at most.")
    max_ratio: Factor = Field(description="The longer edge over the shorter, at most.")
    auto: bool = Field(True, description="Whether the model chooses where nothing is asked.")
    default_ratio: Ratio = Field("1:1", description="Where the caller leaves the ratio open.")
    default_area: int = Field(1024 * 1024, ge=1, description="Pixels, where the caller leaves them open.")

    @model_validator(mode="after")
    def _makes_something(self) -> FreeSizing:
        if next(self.shapes(), None) is None:
            raise ValueError("no size is within these limits")
        return self

    def shapes(self, widths: range | None = None) -> Iterator[tuple[int, int, int]]:
        """Every width (of ``widths``) that some size has, with the least and the most height that go with
        it, all multiples of the step."""
        long, short = Fraction(self.max_ratio).as_integer_ratio()
        step = self.step
        for width in widths or range(step, self.max_edge + 1, step):
            if width % step or not step <= width <= self.max_edge:
                continue
            least = max(-(-width * short // long), -(-self.min_pixels // width), step)
            most = min(width * long // short, self.max_pixels // width, self.max_edge)
            low, high = -(-least // step) * step, most // step * step
            if low <= high:
                yield width, low, high


class ListedSizing(Strict):
    """A fixed list of WxH."""

    kind: Literal["sizes"] = Field(description="The listed sizes.")
    sizes: list[Pixels] = Field(min_length=1, description="The first wins where all else is equal.")
    auto: bool = Field(True, description="Whether the model chooses where nothing is asked.")
    default_ratio: Ratio = Field("1:1", description="Where the caller leaves the ratio open.")
    default_area: int = Field(1024 * 1024, ge=1, description="Pixels, where the caller leaves them open.")


class RatioSizing(Strict):
    """Ratios by name, and perhaps tiers of resolution (Gemini)."""

    kind: Literal["ratios"] = Field(description="Ratios and tiers by name.")
    ratios: list[Ratio] = Field(min_length=1, description="The first wins where two are equally near.")
    tiers: list[Tier] = Field([], description="None: the model has one resolution, and none is sent.")
    auto: bool = Field(True, description="Whether the model chooses where nothing is asked.")
    default_ratio: Ratio = Field("1:1", description="Where the caller leaves the ratio open.")
    default_tier: Tier = Field(
        "1K", description="Where the caller leaves the area open; without tiers the one that it resembles."
    )
    pixels: dict[Tier, dict[Ratio, Pixels]] = Field(
        {}, description="What a tier and a ratio come to, as published."
    )

    @model_validator(mode="after")
    def _names_only_its_own(self) -> RatioSizing:
        tiers = self.tiers or [self.default_tier]
        if self.default_tier not in tiers:
            raise ValueError(f"default_tier {self.default_tier} is not one of the tiers")
        if self.default_ratio not in self.ratios:
            raise ValueError(f"default_ratio {self.default_ratio} is not one of the ratios")
        for tier, row in self.pixels.items():
            if tier not in tiers:
                raise ValueError(f"pixels names the tier {tier}, which is not one of the tiers")
            for ratio in row:
                if ratio not in self.ratios:
                    raise ValueError(f"pixels names the ratio {ratio}, which is not one of the ratios")
        return self


class InputSizing(Strict):
    """No size of its own: what it makes of a picture is as large as the picture, or larger by its own rule
    (inpainting, removing a background, upscaling)."""

    kind: Literal["input"] = Field(description="The input picture's size decides.")


class AnySizing(Strict):
    """No published limits: sent as asked."""

    kind: Literal["any"] = Field(description="Whatever is asked.")


Sizing = Annotated[
    FreeSizing | ListedSizing | RatioSizing | InputSizing | AnySizing, Field(discriminator="kind")
]
