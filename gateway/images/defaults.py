"""A model's ``defaults``: what takes the place of fields that the caller left out, reported as mapped."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.images.fitted import Adjustment, How
from gateway.images.intent import AUTO, SIZE_FIELDS, Intent, intent_of
from gateway.images.served import as_text


def fill(
    params: Mapping[str, object], defaults: Mapping[str, object]
) -> tuple[dict[str, object], tuple[Adjustment, ...]]:
    """``params`` with the defaults that apply, and those as adjustments. ``size``, ``aspect_ratio`` and
    ``resolution`` say one thing together: a default fills only what the caller's own leave open."""
    filling = {
        name: value
        for name, value in defaults.items()
        if name not in params and (name not in SIZE_FIELDS or leaves_open(params, name, value))
    }
    told = tuple(Adjustment(name, None, How.MAPPED, as_text(value)) for name, value in filling.items())
    return {**params, **filling}, told


def leaves_open(params: Mapping[str, object], name: str, value: object) -> bool:
    """Whether what the default ``value`` says of the size is something that the caller has not said."""
    said = size_intent(params)
    more = size_intent({name: value})
    if more.is_open:
        # "auto" says nothing that silence does not.
        return not any(field in params for field in SIZE_FIELDS)
    if said.pixels is not None or (more.pixels is not None and not said.is_open):
        return False
    return not (more.ratio is not None and said.ratio is not None) and not (
        more.area is not None and said.area is not None
    )


def size_intent(params: Mapping[str, object]) -> Intent:
    """What the size fields of ``params`` say together. Raises ``InvalidRequest`` for what is no size."""
    size, ratio, resolution = (
        value if isinstance(value := params.get(name), str) else None for name in SIZE_FIELDS
    )
    return intent_of(size, ratio, resolution)


def is_open(params: Mapping[str, object], name: str) -> bool:
    """Whether the caller left a field to the model: absent, or ``auto``."""
    return params.get(name, AUTO) == AUTO
