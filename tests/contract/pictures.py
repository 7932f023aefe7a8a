"""Pictures as clients send them, and as they come back."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image


def png(width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    return _as_png(Image.new(mode, (width, height)))


def mask(width: int, height: int) -> bytes:
    """As OpenAI has them: what is transparent, the left half, is to be painted anew."""
    drawn = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    drawn.paste((0, 0, 0, 0), (0, 0, width // 2, height))
    return _as_png(drawn)


def pictures(document: Mapping[str, Any]) -> list[Image.Image]:
    """All that an answer holds, opened."""
    found = [base64.b64decode(item["b64_json"], validate=True) for item in document["data"]]
    return [Image.open(io.BytesIO(data)) for data in found]


def picture(document: Mapping[str, Any]) -> Image.Image:
    """The one that an answer holds, opened."""
    (found,) = pictures(document)
    return found


def _as_png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
