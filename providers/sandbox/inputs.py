"""Input pictures of edits, decoded within bounds: the format by an allow-list, the pixels by the header."""

from __future__ import annotations

import base64
import io
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageOps

from providers.base import Certainty, InputFile, InputImage, Kind, ProviderError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 40_000_000
MAX_BYTES = 50 * 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """What the header alone says. ``size`` is (width, height) as the picture is meant to be seen."""

    size: tuple[int, int]
    alpha: bool


def look_at(source: InputImage, param: str, *, lenient: bool) -> Look:
    """Nothing is decoded. Raises :class:`ProviderError` as :func:`decode` does."""
    with closing(_open(source, param)) as handle:
        try:
            picture = _header(handle, param)
            return Look(_upright(picture), "A" in picture.getbands() or "transparency" in picture.info)
        except _Undecodable:
            if lenient:
                return Look(_TILE, alpha=True)
            raise _unsupported(param) from None


def decode(source: InputImage, size: tuple[int, int], param: str, *, lenient: bool) -> Image.Image:
    """The picture in RGBA, made to cover ``size``. ``param`` names it in errors; ``lenient`` makes a
    grey tile of what is no picture. Raises :class:`ProviderError` (invalid, rejected)."""
    with closing(_open(source, param)) as handle:
        try:
            picture = _header(handle, param)
            # Lets JPEG decode small at once; the other formats ignore it.
            picture.draft("RGB", size)
            picture = _decoded(picture)
        except _Undecodable:
            if not lenient:
                raise _unsupported(param) from None
            picture = Image.new("RGBA", _TILE, (128, 128, 128, 255))
    if picture.size != size:
        picture = ImageOps.fit(picture, size)
    return picture.convert("RGBA")


_TILE = (1024, 1024)
_ORIENTATION = 0x0112


class _Undecodable(Exception):
    """These bytes are no picture of an allowed format."""


def _header(handle: BinaryIO, param: str) -> Image.Image:
    try:
        picture = Image.open(handle, formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(param) from None
    except Exception as error:  # Pillow's parsers raise whatever malformed bytes make them raise
        raise _Undecodable from error
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(param)
    return picture


def _upright(picture: Image.Image) -> tuple[int, int]:
    """(width, height) as the picture is meant to be seen: cameras note a turn instead of turning."""
    try:
        turned = picture.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    except Exception as error:  # as above
        raise _Undecodable from error
    return (picture.height, picture.width) if turned else picture.size


def _decoded(picture: Image.Image) -> Image.Image:
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        # Palettes cannot be resized smoothly; RGB stays RGB, for less memory until it is small.
        return picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA")
    except Exception as error:  # as above: truncated and malformed data show themselves here
        raise _Undecodable from error


def _open(source: InputImage, param: str) -> BinaryIO:
    if isinstance(source, InputFile):
        try:
            return source.open()
        except OSError as error:
            raise ProviderError(
                Kind.SERVER, Certainty.NOT_SENT, f"The input '{param}' could not be read again."
            ) from error
    head, comma, data = source.image_url.partition(",")
    if not comma or not head.lower().startswith("data:") or not head.lower().endswith(";base64"):
        raise _invalid(
            param,
            "The sandbox fetches nothing from the network: send the picture itself, as a file or as a "
            "base64 data URL.",
            "unsupported_image_url",
        )
    if len(data) > MAX_BYTES * 4 // 3:
        raise _too_large(param)
    try:
        return io.BytesIO(base64.b64decode(data, validate=True))
    except ValueError:
        raise _invalid(param, f"'{param}' is not valid base64.", "invalid_base64") from None


def _unsupported(param: str) -> ProviderError:
    return _invalid(param, f"'{param}' is not a readable PNG, JPEG or WebP picture.", "unsupported_image")


def _too_large(param: str) -> ProviderError:
    megapixels = MAX_PIXELS // 1_000_000
    return _invalid(param, f"'{param}' has more than {megapixels} megapixels.", "image_too_large")


def _invalid(param: str, message: str, code: str) -> ProviderError:
    return ProviderError(
        Kind.INVALID,
        Certainty.REJECTED,
        message,
        status=400,
        type="invalid_request_error",
        param=param,
        code=code,
    )
