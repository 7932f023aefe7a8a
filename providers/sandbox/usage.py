"""Believable tokens: the formulas that the real models' usage fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

_GPT_IMAGE_2: Mapping[str, int] = {"low": 16, "medium": 48, "high": 96}
_GPT_IMAGE_2_5: Mapping[str, int] = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}

PARTIAL_TOKENS = 100
"""Image output tokens that each partial picture of a stream costs."""


def output_tokens(quality: str, width: int, height: int) -> int:
    """Of one picture. ``xhigh`` and ``max`` exist from gpt-image-2.5 on and are counted by its factors."""
    base = _GPT_IMAGE_2.get(quality) or _GPT_IMAGE_2_5.get(quality, _GPT_IMAGE_2["medium"])
    short, long = sorted((width, height))
    units = round(base * short / long)
    return math.ceil(base * units * (2_000_000 + width * height) / 4_000_000)


def text_tokens(prompt: str) -> int:
    return len(prompt) // 4 + 6


def image_tokens(width: int, height: int) -> int:
    """Of one input picture: 32-pixel patches, at most 1536 of them."""
    grow = max(1.0, 1024 / max(width, height))
    w, h = width * grow / 32, height * grow / 32
    if math.ceil(w) * math.ceil(h) > 1536:
        shrink = math.sqrt(1536 / (w * h))
        w, h = w * shrink, h * shrink
        fit = min(math.floor(w) / w, math.floor(h) / h)
        w, h = w * fit, h * fit
    # Rounded first: a patch count such as 32.0000000001 is a whole number that floats could not hold.
    return math.ceil(round(w, 6)) * math.ceil(round(h, 6))


def usage(
    prompt: str,
    inputs: Iterable[tuple[int, int]],
    *,
    quality: str,
    size: tuple[int, int],
    n: int,
    partials: int = 0,
) -> dict[str, object]:
    """OpenAI's ``usage`` object. Inputs are (width, height) and count once per picture made."""
    text = text_tokens(prompt) * n
    image = sum(image_tokens(*each) for each in inputs) * n
    out = output_tokens(quality, *size) * n + PARTIAL_TOKENS * partials
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"image_tokens": image, "text_tokens": text},
        "output_tokens": out,
        "output_tokens_details": {"image_tokens": out, "text_tokens": 0},
        "total_tokens": text + image + out,
    }
