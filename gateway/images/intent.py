"""What size a caller wants, from ``size``, ``aspect_ratio`` and ``resolution`` together
(docs/normalization.md, Forms and Precedence).

Ratios and areas are exact fractions, so that nothing hangs on how a float was rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from config.sizing import ratio_of, tier_area
from gateway.errors import InvalidRequest
from gateway.images.wording import invalid_value, refused_by_service, shown

SIZE_FIELDS = ("size", "aspect_ratio", "resolution")
"""The fields that say a size, in the order of their strength where two say the same kind of thing."""

AUTO = "auto"
SAME_TIER = Fraction(5, 4)
"""A size is of a tier when its area and the tier's are within this factor of each other."""

_USUAL = 32
"""Characters of a field that says a size; longer ones are worked out each time."""

_PIXELS = re.compile(r"([0-9]{1,5})[xX*×]([0-9]{1,5})", re.ASCII)


class Ignored(NamedTuple):
    """A field that contradicts a stronger one."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    """``pixels`` are the explicit ones; they fix ``ratio`` (width over height) and ``area`` (pixels in all).
    What is None is left open. ``requested`` is the whole in the words of ``x-imagegate-size``: ``1536x864``,
    ``16:9@2K``, ``16:9``, ``2K``, ``auto``, None where nothing was sent. ``asked`` are the fields that count,
    in their usual spelling; ``ignored`` those that do not."""

    pixels: tuple[int, int] | None = None
    ratio: Fraction | None = None
    area: Fraction | None = None
    requested: str | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the caller leaves everything to the model."""
        return self.ratio is None and self.area is None


@dataclass(frozen=True, slots=True)
class _Said:
    """What one field says: pixels, or a ratio, or a tier (``area``), or with none of them ``auto``."""

    field: str
    text: str
    pixels: tuple[int, int] | None = None
    ratio: Fraction | None = None
    area: Fraction | None = None


def intent_of(size: str | None, aspect_ratio: str | None, resolution: str | None) -> Intent:
    """The intent of three fields; None for a field that was not sent. Raises ``InvalidRequest`` (400
    ``invalid_value`` with ``param``) for a value that is none of its field's forms."""
    words = (size, aspect_ratio, resolution)
    # Each call asks several times, and most ask for one of a handful. A caller's long words are not kept.
    usual = all(word is None or len(word) <= _USUAL for word in words)
    return _remembered(*words) if usual else _intent_of(*words)


def _intent_of(size: str | None, aspect_ratio: str | None, resolution: str | None) -> Intent:
    given = list(_read(size, aspect_ratio, resolution))
    said = [one for one in given if one.text != AUTO]
    if not said:
        return Intent(requested=AUTO if given else None, asked={one.field: AUTO for one in given})
    pixels = next((one for one in said if one.pixels), None)
    ratio = next((one for one in said if one.ratio), None)
    tier = next((one for one in said if one.area), None)
    ignored = [
        Ignored(one.field, one.text, f"{stronger.field} {stronger.text} says otherwise")
        for one in said
        for stronger in (pixels or (ratio if one.ratio else tier),)
        if stronger is not None and not _agree(one, stronger)
    ]
    names = {one.field for one in ignored}
    asked = {one.field: one.text for one in said if one.field not in names}
    if pixels is not None and pixels.pixels is not None:
        width, height = pixels.pixels
        return Intent(
            pixels.pixels,
            Fraction(width, height),
            Fraction(width * height),
            pixels.text,
            asked,
            tuple(ignored),
        )
    return Intent(
        ratio=ratio.ratio if ratio else None,
        area=tier.area if tier else None,
        requested="@".join(one.text for one in (ratio, tier) if one),
        asked=asked,
        ignored=tuple(ignored),
    )


_remembered = lru_cache(1024)(_intent_of)


def _agree(weaker: _Said, stronger: _Said) -> bool:
    if stronger.pixels is None:
        return (weaker.ratio, weaker.area) == (stronger.ratio, stronger.area)
    width, height = stronger.pixels
    if weaker.ratio is not None:
        # 1366x768 is the 16:9 that whole pixels allow.
        return abs(width - height * weaker.ratio) < 1 or abs(height - width / weaker.ratio) < 1
    return weaker.area is None or is_of_tier(width * height, weaker.area)


def is_of_tier(area: Fraction | int, tier: Fraction) -> bool:
    """Whether a size of this many pixels counts as one of the tier."""
    return tier <= area * SAME_TIER and area <= tier * SAME_TIER


def _read(size: str | None, aspect_ratio: str | None, resolution: str | None) -> Iterator[_Said]:
    for name, value in zip(SIZE_FIELDS, (size, aspect_ratio, resolution), strict=True):
        if value is not None:
            yield _one(name, value, value.strip())


def _one(name: str, value: str, text: str) -> _Said:
    """What ``text``, the value without spaces around it, says as the value of a field."""
    if text.lower() == AUTO:
        return _Said(name, AUTO)
    if name == "size" and (match := _PIXELS.fullmatch(text)) and int(match[1]) and int(match[2]):
        width, height = int(match[1]), int(match[2])
        return _Said(name, f"{width}x{height}", pixels=(width, height))
    if name != "resolution" and (ratio := ratio_of(text)):
        return _Said(name, text, ratio=ratio)
    if name != "aspect_ratio" and (area := tier_area(text)) and (name != "size" or not text.isdigit()):
        return _Said(name, text.upper(), area=area)
    raise _refusal(name, value)


def _refusal(name: str, value: str) -> InvalidRequest:
    if name == "size":
        return refused_by_service(
            "size",
            f"Invalid size '{shown(value)}'. Expected WIDTHxHEIGHT, for example '1824x1024'. A ratio such as "
            "'16:9', a tier such as '2K' (at most 16K) and 'auto' are served too.",
        )
    if name == "aspect_ratio":
        return invalid_value(
            name, f"Invalid 'aspect_ratio': '{shown(value)}'. Expected W:H, for example '16:9', or 'auto'."
        )
    return invalid_value(
        name,
        f"Invalid 'resolution': '{shown(value)}'. Expected a tier, for example '1K', '2K' or '512' (at most "
        "16K), or 'auto'.",
    )
