"""How large the input pictures of a call are, as far as their structure tells."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.look import look, of_base64
from gateway.images.raw import RawFile
from gateway.images.sniff import Picture
from providers.base import InputImage, InputRef

_TAGGED = ("jpeg", "png", "webp")
"""Formats whose orientation is EXIF's. In AVIF and HEIC it is part of the picture: every reader heeds it."""


def input_sizes(call: ImageCall, files: Sequence[RawFile] = ()) -> tuple[InputSize, ...]:
    """One for each input picture, in order, then of mask and markup where there are any. ``files`` are those
    that the call was made from; pictures behind https URLs are unseen."""
    seen = {raw.file: size_of_picture(raw.picture) for raw in files}

    def size_of(image: InputImage) -> InputSize:
        return _referred(image) if isinstance(image, InputRef) else seen.get(image, UNSEEN)

    extras = [extra for extra in (call.mask, call.markup) if extra is not None]
    return tuple(size_of(image) for image in (*call.images, *extras))


def _referred(ref: InputRef) -> InputSize:
    start = ref.image_url.find(",", 0, 256) + 1
    if not ref.image_url[:start].lower().endswith(";base64,"):
        return UNSEEN
    try:
        return size_of_picture(look(*of_base64(ref.image_url, start)))
    except ValueError:
        return UNSEEN


def size_of_picture(picture: Picture) -> InputSize:
    """As it is seen: turned as its orientation tag says."""
    turned = picture.orientation != 1 and picture.format in _TAGGED
    return InputSize(*picture.upright, picture.format or "", turned)
