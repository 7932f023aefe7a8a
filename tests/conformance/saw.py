"""What an upstream got to see of a call, read from its own wire into one vocabulary.

Each stand reads the requests that its simulator received, apart from the adapter that wrote them, so that one
mistake cannot hide in both.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

Pixels = tuple[int, int]
Polarity = str
"""``transparent``, ``white`` or ``black``: what this upstream takes for the part to be edited."""


@dataclass(frozen=True, slots=True)
class Saw:
    """One call. None stands for what was not said. ``size`` is in pixels, ``auto`` where that word came;
    ``marked`` are the edited parts of a mask: whether its left quarter and its right quarter are."""

    prompt: str | None
    size: Pixels | str | None = None
    ratio: str | None = None
    tier: str | None = None
    n: int = 1
    quality: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    background: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    user: str | None = None
    stream: bool = False
    inputs: tuple[Pixels, ...] = ()
    mask: Pixels | None = None
    polarity: Polarity = "transparent"
    marked: tuple[bool, bool] | None = None


def size_of(data: bytes) -> Pixels:
    """Of a picture's file."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def masked(data: bytes, polarity: Polarity) -> dict[str, object]:
    """The fields of :class:`Saw` that a mask's file gives."""
    with Image.open(io.BytesIO(data)) as picture:
        seen = picture.convert("RGBA")
    width, height = seen.size

    def edited(x: int) -> bool:
        red, _, _, alpha = seen.getpixel((x, height // 2))  # type: ignore[misc]
        if polarity == "transparent":
            return alpha == 0
        return (red > 127) == (polarity == "white")

    marked = edited(width // 4), edited(3 * width // 4)
    return {"mask": (width, height), "polarity": polarity, "marked": marked}


def decoded(text: object) -> bytes:
    """Of base64, with or without a data URL's head."""
    return base64.b64decode(str(text).rpartition(",")[2], validate=True)


def pixels(text: object) -> Pixels | str | None:
    """``1024x768`` as numbers; other words as they are."""
    if not isinstance(text, str):
        return None
    width, cross, height = text.partition("x")
    return (int(width), int(height)) if cross and width.isdigit() and height.isdigit() else text


def edges(fields: Mapping[str, object]) -> Pixels | None:
    """Of ``width`` and ``height``."""
    width, height = fields.get("width"), fields.get("height")
    return None if width is None or height is None else (int(str(width)), int(str(height)))


def whole(value: object) -> int | None:
    """A number that may have come as a form's text."""
    return None if value is None else int(str(value))


def text(value: object) -> str | None:
    return None if value is None else str(value)
