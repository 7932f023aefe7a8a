"""Token counts out of an answer's ``usage`` object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from gateway.images.amounts import Usage


def read_usage(document: Mapping[str, object]) -> Usage | None:
    """The usage of an ``ImagesResponse`` or a ``completed`` event, or None where there is none to trust.

    Output tokens without details are image tokens: image models bill them so, and reading them as text is how
    neighbours come to record the wrong cost.
    """
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    output = _count(usage, "output_tokens")
    if output is None and _count(usage, "input_tokens") is None:
        return None
    ins, outs = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    cached = _details(ins, "cached_tokens_details")
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        input_text_tokens=_count(ins, "text_tokens"),
        input_image_tokens=_count(ins, "image_tokens"),
        cached_text_tokens=_count(cached, "text_tokens"),
        cached_image_tokens=_count(cached, "image_tokens"),
        output_tokens=output,
        output_text_tokens=_count(outs, "text_tokens"),
        output_image_tokens=_count(outs, "image_tokens") if outs else output,
        total_tokens=_count(usage, "total_tokens"),
    )


def add(first: Usage | None, second: Usage | None) -> Usage | None:
    """Field by field; a count that either side lacks is what the other side says."""
    if first is None or second is None:
        return first or second
    sums = {}
    for item in fields(Usage):
        counts = [n for n in (getattr(first, item.name), getattr(second, item.name)) if n is not None]
        sums[item.name] = sum(counts) if counts else None
    return Usage(**sums)


def _details(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _count(usage: Mapping[str, object], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
