"""Masks and input pictures in the terms of one target.

Callers send OpenAI's masks: what is fully transparent is to be edited. Targets want white, black or opacity
there, and some want a mask exactly as large as the picture. Masks come out as PNG, in two values only: half
and more transparent counts as transparent, since drawn edges are soft and no target agrees on shades.
"""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from config.inputs import Polarity
from gateway.images.conversion import FORMATS, Unconvertible, is_turned, open_picture

_HALF = 128


class MaskUnusable(ValueError):
    """This is no mask; the text says why."""


def to_polarity(mask: bytes, polarity: Polarity, size: tuple[int, int] | None = None) -> bytes:
    """An OpenAI mask as a target wants it, scaled to ``size`` (width, height; None: as it is) without new
    shades. A mask that is right already comes back as it came. Raises :class:`MaskUnusable`."""
    alpha = _alpha(mask)
    turned = alpha.size != size if size is not None else False
    if polarity == "transparent" and not turned:
        return mask
    if size is not None and turned:
        alpha = alpha.resize(size, Image.Resampling.NEAREST)
    edited, kept = (0, 255) if polarity in ("black", "transparent") else (255, 0)
    shades = alpha.point(lambda value: edited if value < _HALF else kept)
    if polarity in ("transparent", "alpha"):
        picture = Image.new("RGBA", shades.size, (0, 0, 0, 0))
        picture.putalpha(shades)
    else:
        picture = shades
    return _png(picture)


def orient(picture: bytes) -> bytes:
    """The picture as it is meant to be seen: turned by its orientation tag, in the format it came in. One
    that needs no turning comes back as it came. Raises :class:`gateway.images.conversion.Unconvertible`."""
    opened = open_picture(picture)
    if not is_turned(opened):
        return picture
    format = opened.format or "PNG"
    profile = opened.info.get("icc_profile")
    try:
        upright = ImageOps.exif_transpose(opened)
        out = io.BytesIO()
        options = {"PNG": {"compress_level": 1}, "WEBP": {"quality": 95, "method": 2}}.get(
            format, {"quality": 95}
        )
        upright.save(out, format, icc_profile=profile, **options)
    except Exception as error:  # Pillow's codecs raise whatever malformed bytes make them raise
        raise Unconvertible(f"it cannot be turned upright ({type(error).__name__})") from None
    return out.getvalue()


def _alpha(mask: bytes) -> Image.Image:
    """The mask's alpha channel, upright."""
    try:
        opened = open_picture(mask, FORMATS)
        if not opened.has_transparency_data:
            raise MaskUnusable(
                "the mask has no alpha channel: what is to be edited must be transparent in it"
            )
        return ImageOps.exif_transpose(opened).convert("RGBA").getchannel("A")
    except MaskUnusable:
        raise
    except Unconvertible as error:
        raise MaskUnusable(f"the mask cannot be used: {error}") from None
    except Exception as error:  # as above
        raise MaskUnusable(f"the mask cannot be read ({type(error).__name__})") from None


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
