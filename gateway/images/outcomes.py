"""What a call may come out as: the sizes and qualities that ``auto`` leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.catalog import CatalogModel
from config.sizing import FreeSizing, ListedSizing
from gateway.images.asked import AUTO, Asked


@dataclass(frozen=True, slots=True)
class Outcome:
    """None where nothing at all is known."""

    quality: str | None
    size: str | None


def outcomes(entry: CatalogModel, asked: Asked) -> list[Outcome]:
    """All of them, the likeliest first."""
    return [Outcome(quality, size) for quality in _qualities(entry, asked) for size in _sizes(entry, asked)]


def _qualities(entry: CatalogModel, asked: Asked) -> Sequence[str | None]:
    if asked.quality is not None and asked.quality != AUTO:
        return [asked.quality]
    if entry.auto is not None:
        return entry.auto.qualities
    return [quality for quality in entry.qualities if quality != AUTO] or [None]


def _sizes(entry: CatalogModel, asked: Asked) -> Sequence[str | None]:
    if asked.is_sheet:
        return [_largest(entry)]
    if asked.size is not None and asked.size != AUTO:
        return [asked.size]
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
