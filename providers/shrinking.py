"""Input pictures made smaller for a model that takes small ones only."""

from __future__ import annotations

import asyncio
import io
from pathlib import PurePath

from PIL import Image, ImageOps

from providers.base import InputFile
from providers.unsendable import unsendable

_FORMATS = ("PNG", "JPEG", "WEBP")
_MOST_PIXELS = 64_000_000


async def shrunk(file: InputFile, longest: int) -> InputFile:
    """``file`` with no edge longer than ``longest`` pixels, upright; as it came where it is so already.
    Raises :class:`ProviderError` (invalid, not_sent) for what is no picture."""
    try:
        data = await asyncio.to_thread(_shrunk, file, longest)
    except Exception as error:  # Pillow's codecs raise whatever malformed bytes make them raise
        raise unsendable(
            "An input picture cannot be scaled down to what the model takes; send a PNG, JPEG or WebP of at "
            f"most {_MOST_PIXELS // 10**6} megapixels.",
            param="image",
            code="unsupported_image",
        ) from error
    if data is None:
        return file
    name = f"{PurePath(file.filename).stem or 'image'}.png"
    return InputFile(name, "image/png", len(data), lambda: io.BytesIO(data))


def _shrunk(file: InputFile, longest: int) -> bytes | None:
    with file.open() as handle, Image.open(handle, formats=_FORMATS) as picture:
        if max(picture.size) <= longest:
            return None
        if picture.width * picture.height > _MOST_PIXELS:
            raise ValueError("too many pixels")
        picture.draft("RGB", (longest, longest))
        small = ImageOps.exif_transpose(picture)
        if small.mode not in ("RGB", "RGBA"):
            small = small.convert("RGBA" if small.has_transparency_data else "RGB")
        small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "PNG", compress_level=1)
        return out.getvalue()
