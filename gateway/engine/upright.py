"""Input pictures as they are meant to be seen: their orientation tag is applied before they are sent, since
providers do not agree on whether it counts, while the size that is asked for and the mask count on it."""

from __future__ import annotations

from dataclasses import replace

from gateway.engine.redrawing import Redrawing
from gateway.images.call import ImageCall
from gateway.images.conversion import Unconvertible
from gateway.images.masks import orient
from gateway.routing.plan import Candidate
from providers.base import InputFile


async def with_upright_pictures(candidate: Candidate, redrawing: Redrawing) -> Candidate:
    """The candidate with every file upright that was seen to be stored otherwise. One that cannot be read
    stays as it came, for the target to judge. Raises as :class:`Redrawing` does."""
    call = candidate.fitted.call
    images, inputs = list(call.images), list(call.inputs)
    for place, (image, seen) in enumerate(zip(call.images, call.inputs, strict=False)):
        if not seen.turned or not isinstance(image, InputFile):
            continue
        width, height = seen.pixels or (0, 0)
        try:
            images[place] = await redrawing.redrawn(image, orient, width * height)
        except Unconvertible:
            continue
        inputs[place] = replace(seen, turned=False)
    if images == list(call.images):
        return candidate
    upright: ImageCall = replace(call, images=tuple(images), inputs=tuple(inputs))
    return replace(candidate, fitted=replace(candidate.fitted, call=upright))
