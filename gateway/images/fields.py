"""The fields of image requests as one table: types, bounds and choices; OpenAI's own, then what goes beyond.

``prompt``, ``model``, ``response_format`` and the pictures have rules of their own
(gateway/images/validation.py, gateway/images/inputs.py); everything else is a row here. What a given model
takes of it stands in its catalog entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    NUMBER = "a number"
    ARRAY = "an array"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class Field:
    """``listed_by`` names the list of the catalog entry that holds the choices; ``formats`` are the only
    output formats with which the field means anything; ``members`` are an object's own fields. ``extension``
    says that OpenAI has no such field, ``private`` that its value is the caller's own words, which no header,
    record or log repeats."""

    name: str
    kind: Kind
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    listed_by: str | None = None
    formats: tuple[str, ...] = ()
    edits_only: bool = False
    members: tuple[Field, ...] = ()
    extension: bool = False
    private: bool = False


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
        Field("user", Kind.STRING, private=True),
        Field("safety_identifier", Kind.STRING, private=True),
        Field("input_fidelity", Kind.STRING, choices=("high", "low"), edits_only=True),
        Field("complexity", Kind.STRING, choices=("low", "medium", "high")),
        Field("frame_count", Kind.INTEGER, minimum=2, maximum=16, formats=("gif",)),
        Field("frame_duration_ms", Kind.INTEGER, minimum=0, formats=("gif",)),
        Field("svg", Kind.OBJECT, members=_SVG, formats=("svg",)),
    )
}

EXTENSIONS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("aspect_ratio", Kind.STRING, extension=True),
        Field("resolution", Kind.STRING, extension=True),
        Field("fit", Kind.STRING, choices=("none", "cover", "contain"), extension=True),
        Field("seed", Kind.INTEGER, extension=True),
        Field("style", Kind.STRING, extension=True),
        Field("negative_prompt", Kind.STRING, extension=True, private=True),
        Field("guidance_scale", Kind.NUMBER, extension=True),
        Field("steps", Kind.INTEGER, minimum=1, extension=True),
    )
}
"""What callers may send beyond OpenAI's fields: the size statement and exact delivery, which are the
gateway's own, and words that several providers share."""

BY_OPERATION: dict[Operation, dict[str, Field]] = {
    Operation.EDIT: FIELDS,
    Operation.GENERATE: {name: field for name, field in FIELDS.items() if not field.edits_only},
}
"""OpenAI's own fields."""

GATEWAYS_OWN = ("aspect_ratio", "resolution", "fit")
"""Extensions that every model has, since the gateway serves them."""

KNOWN = {**FIELDS, **EXTENSIONS}

KNOWN_QUALITIES = ("low", "medium", "high", "xhigh", "max", "auto")
"""Qualities that some model of OpenAI's takes: asked of another, the refusal names the model and not the
word."""

FORMATS = ("png", "webp", "jpeg", "gif", "svg", "avif")
BACKGROUNDS = ("transparent", "opaque", "auto")

VOCABULARY: dict[str, tuple[str, ...]] = {
    "quality": (*KNOWN_QUALITIES, "standard", "hd"),
    "output_format": FORMATS,
    "background": BACKGROUNDS,
}
"""Words of the fields whose choices are a model's own: what callers may say to any model."""


def extension_fields(entries: Iterable[CatalogModel]) -> dict[str, Field]:
    """The fields beyond the table that these models describe. One that two of them describe differently is
    left out: any value of it may be right."""
    found: dict[str, Field | None] = {}
    for entry in entries:
        for name, known in entry.extensions.items():
            words = tuple(entry.values.get(name, ()))
            field = Field(name, _KINDS[known.type], known.minimum, known.maximum, words, extension=True)
            found[name] = field if found.get(name, field) == field else None
    return {name: field for name, field in found.items() if field is not None}


_KINDS = {
    "string": Kind.STRING,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "object": Kind.OBJECT,
    "array": Kind.ARRAY,
}


def known_names(entries: Iterable[CatalogModel]) -> frozenset[str]:
    """Every field that a caller may name: the table's, and those of models that an operator described."""
    return frozenset(KNOWN).union(*(entry.fields for entry in entries))


def choices_of(field: Field, entry: CatalogModel) -> Sequence[str]:
    """The values this model takes, in the order of OpenAI's messages; empty where any value is passed."""
    if field.listed_by is None:
        return entry.values.get(field.name, field.choices)
    listed: list[str] = getattr(entry, field.listed_by)
    return listed


def takes(entry: CatalogModel, name: str, word: object, listed: Sequence[str]) -> bool:
    """Whether a target is sent this word for a field whose choices are ``listed``; none: it takes any."""
    return is_lenient(entry) or (name in entry.fields and (not listed or word in listed))


def is_lenient(entry: CatalogModel) -> bool:
    """A model that nobody has published facts about: types are checked, nothing else is refused."""
    return not entry.fields
