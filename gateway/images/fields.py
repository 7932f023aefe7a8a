"""The fields of OpenAI's image requests as one table: types, bounds and choices.

``prompt``, ``model``, ``response_format`` and the pictures have rules of their own
(gateway/images/validation.py, gateway/images/inputs.py); everything else is a row here. What a given model
takes of it stands in its catalog entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.catalog import CatalogModel
from providers.base import Operation

PROMPT_LENGTH = 32_000
"""Characters."""


class Kind(StrEnum):
    """Types of a field; the values are OpenAI's words in ``invalid_type`` messages."""

    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "a boolean"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class Field:
    """``listed_by`` names the list of the catalog entry that holds the choices; ``formats`` are the only
    output formats with which the field means anything; ``members`` are an object's own fields."""

    name: str
    kind: Kind
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    listed_by: str | None = None
    formats: tuple[str, ...] = ()
    edits_only: bool = False
    members: tuple[Field, ...] = ()


_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SVG = (
    Field("model", Kind.STRING),
    Field("reasoning", Kind.OBJECT, members=(Field("effort", Kind.STRING, choices=_EFFORTS),)),
)

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("n", Kind.INTEGER, minimum=1, maximum=10),
        Field("size", Kind.STRING),
        Field("quality", Kind.STRING, listed_by="qualities"),
        Field("background", Kind.STRING, listed_by="backgrounds"),
        Field("moderation", Kind.STRING, choices=("auto", "low")),
        Field("output_format", Kind.STRING, listed_by="output_formats"),
        Field("output_compression", Kind.INTEGER, minimum=0, maximum=100),
        Field("stream", Kind.BOOLEAN),
        Field("partial_images", Kind.INTEGER, minimum=0, maximum=3),
        Field("user", Kind.STRING),
        Field("safety_identifier", Kind.STRING),
        Field("input_fidelity", Kind.STRING, choices=("high", "low"), edits_only=True),
        Field("complexity", Kind.STRING, choices=("low", "medium", "high")),
        Field("frame_count", Kind.INTEGER, minimum=2, maximum=16, formats=("gif",)),
        Field("frame_duration_ms", Kind.INTEGER, minimum=0, formats=("gif",)),
        Field("svg", Kind.OBJECT, members=_SVG, formats=("svg",)),
    )
}

BY_OPERATION: dict[Operation, dict[str, Field]] = {
    Operation.EDIT: FIELDS,
    Operation.GENERATE: {name: field for name, field in FIELDS.items() if not field.edits_only},
}

KNOWN_QUALITIES = ("low", "medium", "high", "xhigh", "max", "auto")
"""Qualities that some model takes: asked of another, the refusal names the model and not the word."""


def choices_of(field: Field, entry: CatalogModel) -> Sequence[str]:
    """The values this model takes, in the order of OpenAI's messages; empty where any value is passed."""
    if field.listed_by is None:
        return entry.values.get(field.name, field.choices)
    listed: list[str] = getattr(entry, field.listed_by)
    return listed


def is_lenient(entry: CatalogModel) -> bool:
    """A model that nobody has published facts about: types are checked, nothing else is refused."""
    return not entry.fields
