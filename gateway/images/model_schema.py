"""What a JSON body for one model may hold, as a JSON Schema (draft 2020-12) that says what validation and
fitting do: a body that it accepts is served, one that it refuses is a 400.

It describes snap mode, where what is not served exactly is changed and reported. What it cannot say: what a
picture turns out to be, that 1.0 is no whole number here, and how many pixels ``fit`` can deliver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from config.catalog import CatalogModel
from gateway.images.backgrounds import can_be_transparent
from gateway.images.combinations import EXCLUSIONS
from gateway.images.field_schema import PICTURE, Schema, field_schema, nullable
from gateway.images.fields import (
    FORMATS,
    KNOWN,
    PROMPT_LENGTH,
    extension_fields,
    is_lenient,
)
from gateway.images.formats import can_make
from gateway.images.pictures import OVERLAYS, PICTURES
from providers.base import Operation

DRAFT = "https://json-schema.org/draft/2020-12/schema"

UnknownFields = Literal["refuse", "forward", "drop"]


@dataclass(frozen=True, slots=True)
class Served:
    """A public model as its callers meet it. ``targets`` describe what can serve it, ``faces`` besides them
    what its words are judged by; ``defaults`` fill what a body leaves out; ``is_default``: a body that names
    no model means this one. ``known`` are the fields that some model of the gateway takes, ``unknown`` is
    what becomes of others."""

    name: str
    targets: Sequence[CatalogModel]
    faces: Sequence[CatalogModel] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    is_default: bool = False
    known: Collection[str] = frozenset(KNOWN)
    unknown: UnknownFields = "refuse"


def body_schema(model: Served, operation: Operation) -> Schema | None:
    """The schema of JSON bodies; None where no target serves the operation."""
    able = [entry for entry in model.targets if operation.value in entry.operations]
    if not able:
        return None
    edits = operation is Operation.EDIT
    judges = (*model.faces, *model.targets)
    lenient = all(is_lenient(entry) for entry in judges)
    fields = {**extension_fields(judges), **KNOWN}
    properties: Schema = {
        **dict.fromkeys(sorted(model.known), True),
        "model": {"enum": [model.name, None]} if model.is_default else {"const": model.name},
        "prompt": {"type": "string", "minLength": 1, "maxLength": PROMPT_LENGTH},
        "response_format": {"enum": ["b64_json", "url", None]},
        **{name: nullable(field_schema(known, judges, lenient=lenient)) for name, known in fields.items()},
    }
    if edits:
        properties |= {"images": _PICTURES, "image": _PICTURES}
        properties |= {overlay: {"anyOf": [_ONE, {"type": "null"}]} for overlay in OVERLAYS}
    else:
        properties |= dict.fromkeys(PICTURES, False)
    return {
        "$schema": DRAFT,
        "type": "object",
        "required": ["prompt"] if model.is_default else ["model", "prompt"],
        **({"oneOf": _EITHER, "$defs": {"picture": PICTURE}} if edits else {}),
        "properties": properties,
        "additionalProperties": model.unknown != "refuse",
        "anyOf": [_served_by(entry, operation, model.defaults) for entry in able],
        **({} if lenient else {"not": _opaque_but_transparent(model.defaults)}),
    }


_ONE: Schema = {"$ref": "#/$defs/picture"}
_PICTURES: Schema = {"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}]}
_EITHER = [{"required": ["images"]}, {"required": ["image"]}]


def _served_by(entry: CatalogModel, operation: Operation, defaults: Mapping[str, object]) -> Schema | bool:
    """What nobody can do for this target must be among what it can do itself (capabilities.py)."""
    if is_lenient(entry):
        return True
    refused: list[Schema] = []
    if not can_be_transparent(entry):
        refused.append(_is("background", ["transparent"], defaults))
    lacking = [word for word in FORMATS if not can_make(entry, word)]
    if lacking:
        refused.append(_is("output_format", lacking, defaults))
    if operation is Operation.EDIT:
        many = {"type": "array", "minItems": entry.inputs.max_images + 1}
        refused += [{"required": [name], "properties": {name: many}} for name in ("images", "image")]
        if entry.inputs.min_images > 1:
            enough: Schema = {"type": "array", "minItems": entry.inputs.min_images}
            few = {"not": {"anyOf": [enough, {"type": "null"}]}}
            refused += [{"required": [name], "properties": {name: few}} for name in ("images", "image")]
        given = {overlay: _given(overlay) for overlay in OVERLAYS}
        if entry.inputs.mask is not None and entry.inputs.mask.required:
            refused.append({"not": given["mask"]})
        refused += [schema for overlay, schema in given.items() if not getattr(entry.inputs, overlay)]
        refused.append({"allOf": list(given.values())})
    refused += [{"not": _met(name, entry, defaults)} for name in entry.needs]
    if entry.needs_one_of:
        refused.append({"not": {"anyOf": [_met(name, entry, defaults) for name in entry.needs_one_of]}})
    return {"not": {"anyOf": refused}} if refused else True


def _met(name: str, entry: CatalogModel, defaults: Mapping[str, object]) -> Schema:
    """Bodies that give a field that something hangs on, as the model takes it, in words or by its default."""
    known = entry.extensions.get(name)
    bounds = known.model_dump(include={"minimum", "maximum"}, exclude_none=True) if known else {}
    words = {"enum": entry.values[name]} if name in entry.values else {}
    schema: Schema = {**bounds, **words, "not": {"enum": [None, "", 0, False, [], {}]}}
    if not defaults.get(name):
        return {"required": [name], "properties": {name: schema}}
    return {"properties": {name: {"anyOf": [schema, {"type": "null"}]}}}


def _opaque_but_transparent(defaults: Mapping[str, object]) -> Schema:
    """What no format can be (combinations.py)."""
    opaque = [rule.formats for rule in EXCLUSIONS if rule.field == "background"]
    formats = [word for words in opaque for word in words]
    return {"allOf": [_is("background", ["transparent"], defaults), _is("output_format", formats, defaults)]}


def _is(name: str, values: Sequence[object], defaults: Mapping[str, object]) -> Schema:
    """Bodies whose field has one of these values, in words or by the model's default."""
    if defaults.get(name) not in values:
        return {"required": [name], "properties": {name: {"enum": list(values)}}}
    return {"properties": {name: {"enum": [*values, None]}}}


def _given(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
