"""``auto`` resolved before pricing, so that what a call can cost is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.images.call import ImageCall

FIELDS = ("size", "quality")
"""What a price hangs on. Other fields that a caller leaves to the model stay with the model."""


def resolve_auto(call: ImageCall, defaults: Mapping[str, object]) -> tuple[ImageCall, dict[str, object]]:
    """The call with a model's defaults in place of ``auto`` (and of absent values) for size and quality, and
    what was put there, to be reported to the caller as mapped."""
    mapped = {
        field: defaults[field]
        for field in FIELDS
        if call.params.get(field, "auto") == "auto" and defaults.get(field, "auto") != "auto"
    }
    return (replace(call, params={**call.params, **mapped}), mapped) if mapped else (call, mapped)
