"""``usage`` as OpenAI counts it: the published formulas and tables, so that costs can be checked exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from tests.simulators.models import Model

_BASES = {
    2: {"low": 16, "medium": 48, "high": 96},
    2.5: {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
}
_TABLE = {  # square, portrait, landscape
    "low": (272, 408, 400),
    "medium": (1056, 1584, 1568),
    "high": (4160, 6240, 6208),
}
PARTIAL_TOKENS = 100


def output_tokens(model: Model, quality: str, width: int, height: int) -> int:
    """Image tokens of one picture."""
    if not model.flexible:
        return _TABLE[quality][0 if width == height else 1 if width < height else 2]
    base = _BASES[2 if model.generation == 2 else 2.5][quality]
    rows = round(Fraction(base * min(width, height), max(width, height)))  # Fractions round half to even
    tokens = math.ceil(Fraction(base * rows * (2_000_000 + width * height), 4_000_000))
    if model.generation >= 2.6 and quality in ("low", "medium"):
        return math.ceil(tokens * 3.5)  # no formula was published: three to four times those of 2.5
    return tokens


def picture_tokens(model: Model, width: int, height: int, fidelity: str) -> int:
    """Tokens of one input picture."""
    if model.flexible:
        return _patches(width, height)
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 512 / (min(width, height) * scale))
    tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
    extra = 0 if fidelity != "high" else 4160 if width == height else 6240
    return 65 + 129 * tiles + extra


def _patches(width: float, height: float) -> int:
    if max(width, height) < 1024:
        width, height = width * 1024 / max(width, height), height * 1024 / max(width, height)
    if math.ceil(width / 32) * math.ceil(height / 32) > 1536:
        scale = math.sqrt(1024 * 1536 / (width * height))
        scale *= min(
            math.floor(width * scale / 32) / (width * scale / 32),
            math.floor(height * scale / 32) / (height * scale / 32),
        )
        width, height = width * scale, height * scale
    return math.ceil(round(width / 32, 6)) * math.ceil(round(height / 32, 6))


def text_tokens(prompt: str, edit: bool) -> int:
    """Stands for the tokenizer; gives the two recorded counts (5 words 11, an edit of 20 words 45)."""
    words = len(prompt.split())
    return 2 * words + (5 if edit else 1)


def usage(
    model: Model,
    *,
    prompt: str,
    edit: bool,
    quality: str,
    size: tuple[int, int],
    n: int,
    inputs: Sequence[tuple[int, int]] = (),
    fidelity: str = "low",
    partials: int = 0,
) -> dict[str, object]:
    """The ``usage`` object, keys in OpenAI's order. Input counts once per picture made."""
    text = text_tokens(prompt, edit) * n
    images = sum(picture_tokens(model, width, height, fidelity) for width, height in inputs) * n
    made = output_tokens(model, quality, *size) * n + PARTIAL_TOKENS * partials
    return {
        "input_tokens": text + images,
        "input_tokens_details": {"image_tokens": images, "text_tokens": text},
        "output_tokens": made,
        "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
        "total_tokens": text + images + made,
    }
