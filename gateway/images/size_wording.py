"""A size that an OpenAI model refuses, in OpenAI's words.

The wording for too many pixels and for the ratio is ours: OpenAI's was never seen.
"""

from __future__ import annotations

import re

from config.sizing import FreeSizing, ListedSizing, Sizing
from gateway.errors import InvalidRequest
from gateway.images.wording import listing, refused_by_service, shown

_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", re.ASCII)


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height in pixels of ``1024x1536``; None for anything else, ``auto`` included."""
    match = _SIZE.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def check_size(size: str, sizing: Sizing) -> None:
    """Returns for a size that the model serves as asked, else raises ``InvalidRequest``."""
    if isinstance(sizing, ListedSizing):
        _check_listed(size, sizing)
    elif isinstance(sizing, FreeSizing):
        _check_free(size, sizing)


def _check_listed(size: str, sizing: ListedSizing) -> None:
    if size in sizing.sizes or (size == "auto" and sizing.auto):
        return
    supported = sorted(sizing.sizes, key=lambda text: parse_size(text) or (0, 0))
    supported += ["auto"] if sizing.auto else []
    raise _refusal(size, f"Supported sizes are {listing(supported)}.")


def _check_free(size: str, sizing: FreeSizing) -> None:
    if size == "auto" and sizing.auto:
        return
    pair = parse_size(size)
    if pair is None:
        raise _refusal(size, "Expected WIDTHxHEIGHT, for example '1824x1024'.")
    width, height = pair
    longer, shorter = max(pair), min(pair)
    if width % sizing.step or height % sizing.step:
        raise _refusal(size, f"Width and height must both be divisible by {sizing.step}.")
    if longer > sizing.max_edge:
        raise _refusal(size, f"The longest edge must be less than or equal to {sizing.max_edge}.")
    if width * height < sizing.min_pixels:
        raise _refusal(size, "Requested resolution is below the current minimum pixel budget.")
    if width * height > sizing.max_pixels:
        raise _refusal(
            size,
            "Requested resolution is above the current maximum pixel budget "
            f"({sizing.max_pixels} pixels in all).",
        )
    if longer > sizing.max_ratio * shorter:
        raise _refusal(size, f"The longest edge must be at most {sizing.max_ratio} times the shortest edge.")


def _refusal(size: str, reason: str) -> InvalidRequest:
    return refused_by_service("size", f"Invalid size '{shown(size)}'. {reason}")
