"""Any decoded picture as plain 8-bit RGB or RGBA in sRGB."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

WHITE = (255, 255, 255)

_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""The colour space that a profile must be of, by the mode of the pixels."""


def srgb(picture: Image.Image) -> Image.Image:
    """A picture of mode RGB, or RGBA where it has transparency. A colour profile is applied, unless it is of
    another colour space than the pixels or broken: then it is as if there were none."""
    profile = picture.info.get("icc_profile")
    if not profile and (
        picture.mode == "RGBA" or (picture.mode == "RGB" and not picture.has_transparency_data)
    ):
        return picture
    base, alpha = _parted(picture)
    plain = _by_profile(base, profile) if isinstance(profile, bytes) and profile else None
    if plain is None:
        plain = base.convert("RGB")
    if alpha is not None:
        plain.putalpha(alpha)
    return plain


def _parted(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Pixels of mode L, RGB or CMYK, and the alpha channel where there is one."""
    if picture.mode in _DEEP:
        # 16 bits a pixel: Pillow's own conversion to 8 would clip instead of scale.
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L"), None
    if picture.has_transparency_data:
        whole = picture.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if picture.mode in _SPACES:
        return picture.copy(), None
    return picture.convert("RGB"), None


def _by_profile(base: Image.Image, profile: bytes) -> Image.Image | None:
    """The pixels in sRGB; None where the profile does not say how."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[base.mode]:
            return None
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(base, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def flattened(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """An RGBA picture laid onto a ground of one colour."""
    ground = Image.new("RGB", picture.size, colour)
    ground.paste(picture, (0, 0), picture)
    return ground
