"""Fields without a rule of their own: sent where the target's entry lists them, else left out, and told."""

from __future__ import annotations

from collections.abc import Mapping

from config.catalog import CatalogModel
from gateway.images.fields import KNOWN, choices_of, is_lenient
from gateway.images.fitted import How
from gateway.images.served import Served, adjusted
from providers.base import Operation

_OWN_RULE = frozenset(
    {
        "size",
        "aspect_ratio",
        "resolution",
        "fit",
        "quality",
        "background",
        "output_format",
        "output_compression",
        "n",
        "stream",
        "partial_images",
    }
)
"""Fields that other files of this room serve."""


def serve_extras(
    params: Mapping[str, object], entry: CatalogModel, operation: Operation, output_format: object
) -> Served:
    """``output_format`` is what the target is asked for, None for its own."""
    sent: dict[str, object] = {}
    changed = []
    for name, value in params.items():
        if name in _OWN_RULE or _goes_without_saying(name, value, entry, operation):
            continue
        if not is_taken(name, value, entry, operation):
            changed.append(adjusted(name, value, How.DROPPED))
        elif not _means_something(name, entry, output_format):
            changed.append(adjusted(name, value, How.IGNORED))
        else:
            sent[name] = value
    return Served(sent, tuple(changed))


def is_taken(name: str, value: object, entry: CatalogModel, operation: Operation) -> bool:
    """Whether the target is sent this value of a field without a rule of its own."""
    if is_lenient(entry):
        return name in KNOWN or entry.passthrough
    field = KNOWN.get(name)
    if name not in entry.fields:
        return field is None and entry.passthrough
    if not is_within(name, value, entry):
        return False
    if field is None:
        words = entry.values.get(name)
        return not words or value in words
    if field.edits_only and operation is not Operation.EDIT:
        return False
    choices = choices_of(field, entry)
    return not choices or value in choices


def is_within(name: str, value: object, entry: CatalogModel) -> bool:
    """Whether a number is within the bounds that the entry names; true for all else."""
    known = entry.extensions.get(name)
    if known is None or not isinstance(value, int | float):
        return True
    return (known.minimum is None or value >= known.minimum) and (
        known.maximum is None or value <= known.maximum
    )


def _means_something(name: str, entry: CatalogModel, output_format: object) -> bool:
    field = KNOWN.get(name)
    return is_lenient(entry) or field is None or not field.formats or output_format in field.formats


def _goes_without_saying(name: str, value: object, entry: CatalogModel, operation: Operation) -> bool:
    """The default moderation. OpenAI takes the field in JSON edits and not in forms, so there it is better
    not said; elsewhere a target may not have it."""
    if name != "moderation" or value != "auto":
        return False
    return operation is Operation.EDIT or (not is_lenient(entry) and name not in entry.fields)
