"""``auto`` resolved before pricing, so that what a call can cost is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.images.call import ImageCall
from gateway.images.defaults import is_open, leaves_open
from gateway.images.fitted import Adjustment, How
from gateway.images.served import as_text

FIELDS = ("size", "quality")
"""What a price hangs on. Other fields that a caller leaves to the model stay with the model."""


def resolve_auto(call: ImageCall, defaults: Mapping[str, object]) -> tuple[ImageCall, dict[str, object]]:
    """The call with a model's defaults in place of ``auto`` (and of absent values) for size and quality, and
    what was put there. The call's adjustments report it as mapped."""
    mapped = {
        field: defaults[field]
        for field in FIELDS
        if is_open(call.params, field)
        and defaults.get(field, "auto") != "auto"
        and (field != "size" or leaves_open(call.params, field, defaults[field]))
    }
    if not mapped:
        return call, mapped
    told = [
        Adjustment(field, _said(call.params.get(field)), How.MAPPED, as_text(value))
        for field, value in mapped.items()
    ]
    return replace(call, params={**call.params, **mapped}, adjusted=(*call.adjusted, *told)), mapped


def _said(value: object) -> str | None:
    return value if isinstance(value, str) else None
