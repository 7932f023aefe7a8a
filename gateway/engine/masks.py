"""A caller's mask in the terms of one target, made before anything is held for it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.engine.redrawing import Redrawing
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall, InputSize
from gateway.images.mask_work import mask_work
from gateway.images.masks import MaskUnusable, to_polarity
from gateway.routing.plan import Candidate
from providers.base import InputFile


async def with_mask(candidate: Candidate, redrawing: Redrawing) -> Candidate:
    """The candidate with its mask as its target takes it. Raises :class:`InvalidRequest` for a mask that is
    none, and as :class:`Redrawing` does."""
    call = candidate.fitted.call
    work = mask_work(call, candidate.target.entry)
    if work is None or not isinstance(call.mask, InputFile):
        return candidate
    place = len(call.images)
    pixels = call.inputs[place].pixels if place < len(call.inputs) else None
    decoded = sum(width * height for width, height in filter(None, (pixels, work.size)))
    redraw = partial(to_polarity, polarity=work.polarity, size=work.size)
    file = replace(call.mask, filename="mask.png", content_type="image/png")
    try:
        mask = await redrawing.redrawn(file, redraw, decoded)
    except MaskUnusable as error:
        raise InvalidRequest(f"Invalid 'mask': {error}.", param="mask", code="invalid_value") from None
    return replace(candidate, fitted=replace(candidate.fitted, call=_with(call, mask, work.size or pixels)))


def _with(call: ImageCall, mask: InputFile, size: tuple[int, int] | None) -> ImageCall:
    sizes = list(call.inputs)
    if len(sizes) > len(call.images) and size is not None:
        sizes[len(call.images)] = InputSize(*size)
    return replace(call, mask=mask, inputs=tuple(sizes))
