"""What the bill of an attempt hangs on: what its answer says, else what was asked for, else what its pictures
show."""

from __future__ import annotations

from config.sizing import RatioSizing
from gateway.engine.admission import Admission
from gateway.engine.streaming import Streamed
from gateway.engine.whole import Whole
from gateway.images.asked import AUTO, size_asked
from gateway.images.input_tokens import every_input
from gateway.images.pricing import Delivered, rounded_up


def billed(admission: Admission, answer: Whole | Streamed) -> Delivered:
    """For ``Books.succeeded``."""
    call = admission.call
    quality = call.params.get("quality")
    return Delivered(
        images=answer.images,
        usage=answer.usage,
        quality=answer.said("quality") or (quality if isinstance(quality, str) else None),
        size=_size(admission, answer),
        inputs=every_input(call, call.inputs),
        input_images=bool(call.images),
        cost=None if answer.cost is None else rounded_up(answer.cost),
        params=call.params,
    )


def _size(admission: Admission, answer: Whole | Streamed) -> str | None:
    """Prices of a model that has tiers name these, whatever its answers say."""
    entry = admission.target.entry
    asked = size_asked(entry, admission.call.params)
    if isinstance(entry.sizing, RatioSizing):
        return asked
    said = answer.said("size")
    if said is not None and said != AUTO:
        return said
    if asked != AUTO or not isinstance(answer, Whole):
        return asked
    return next((picture.size for picture in answer.pictures if picture.size), asked)
