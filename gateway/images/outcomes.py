"""What a call may come out as: the sizes and qualities that ``auto`` leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.catalog import CatalogModel, FreeSizing, ListedSizing
from gateway.images.call import ImageCall


@dataclass(frozen=True, slots=True)
class Outcome:
    """None where nothing at all is known."""

    quality: str | None
    size: str | None


def outcomes(entry: CatalogModel, call: ImageCall) -> list[Outcome]:
    """All of them, the likeliest first."""
    return [Outcome(quality, size) for quality in _qualities(entry, call) for size in _sizes(entry, call)]


def is_open(call: ImageCall) -> bool:
    """Whether the model chooses what the price hangs on."""
    return any(call.params.get(field, "auto") == "auto" for field in ("size", "quality"))


def is_sheet(entry: CatalogModel, call: ImageCall) -> bool:
    return entry.counting is not None and call.params.get("output_format") in entry.counting.sheets


def _qualities(entry: CatalogModel, call: ImageCall) -> Sequence[str | None]:
    asked = call.params.get("quality")
    if isinstance(asked, str) and asked != "auto":
        return [asked]
    if entry.auto is not None:
        return entry.auto.qualities
    return [quality for quality in entry.qualities if quality != "auto"] or [None]


def _sizes(entry: CatalogModel, call: ImageCall) -> Sequence[str | None]:
    if is_sheet(entry, call):
        return [_largest(entry)]
    asked = call.params.get("size")
    if isinstance(asked, str) and asked != "auto":
        return [asked]
    if entry.auto is not None:
        return entry.auto.sizes
    if isinstance(entry.sizing, ListedSizing):
        return entry.sizing.sizes
    return [_largest(entry)]


def _largest(entry: CatalogModel) -> str | None:
    """The square of as many pixels as the model makes: no other shape takes more tokens."""
    if not isinstance(entry.sizing, FreeSizing):
        return None
    side = math.isqrt(entry.sizing.max_pixels - 1) + 1
    return f"{side}x{side}"
