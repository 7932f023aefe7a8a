"""How large the input pictures of a call are, as far as their first bytes tell."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.raw import RawFile
from gateway.images.sniff import sniff
from providers.base import InputImage, InputRef

_HEAD = 87_384
"""Characters of base64, a multiple of 4: what they hold shows the size of all but odd JPEGs."""


def input_sizes(call: ImageCall, files: Sequence[RawFile] = ()) -> tuple[InputSize, ...]:
    """One for each input picture, in order, then of mask and markup where there are any. ``files`` are those
    that the call was made from; pictures behind https URLs are unseen."""
    seen = {raw.file: InputSize(raw.picture.width, raw.picture.height) for raw in files}

    def size_of(image: InputImage) -> InputSize:
        return _referred(image) if isinstance(image, InputRef) else seen.get(image, UNSEEN)

    extras = [extra for extra in (call.mask, call.markup) if extra is not None]
    return tuple(size_of(image) for image in (*call.images, *extras))


def _referred(ref: InputRef) -> InputSize:
    start = ref.image_url.find(",", 0, 256) + 1
    if not ref.image_url[:start].lower().endswith(";base64,"):
        return UNSEEN
    text = ref.image_url[start : start + _HEAD]
    try:
        picture = sniff(binascii.a2b_base64(text[: len(text) // 4 * 4]))
    except ValueError:
        return UNSEEN
    return InputSize(picture.width, picture.height)
