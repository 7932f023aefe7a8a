"""Pydantic's findings as problems that tell a reader what to do. Values are never quoted unless they can
hold no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.nodes import Node
from config.positions import Steps, locate
from config.problems import Problem, did_you_mean, listed, quoted
from config.schema import Settings

DISCRIMINATORS = ("type", "kind", "rule")
"""Settings that say which of several forms a mapping has."""

_PATTERNS = {
    "[0-9a-f]{64}": 'expected 64 lower-case hex digits; make them with: printf %s "$KEY" | sha256sum',
    "{1,200}": "a model's name is printable ASCII without spaces, at most 200 characters",
    "{0,127}": "a name is letters, digits and . _ : @ - (at most 128), and begins with a letter or a digit",
    "https?": "expected an origin: https:// or http://, a host, a port if it needs one, and no path",
}
_EXPECTED = {
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "list_type": "expected a list: [a, b], or lines that begin with a dash",
    "dict_type": "expected settings (key: value)",
    "model_type": "expected settings (key: value)",
    "model_attributes_type": "expected settings (key: value)",
    "too_short": "needs at least one entry",
}


def problems_of(error: ValidationError, root: Node) -> list[tuple[Problem, Steps]]:
    """Each finding with the steps to the node that it is about, in ``root``."""
    return [_problem(detail, root) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, root: Node) -> tuple[Problem, Steps]:
    location = detail["loc"]
    place = locate(root, location)
    kind = detail["type"]
    if kind == "missing":
        description = _settings_at(location[:-1]).get(str(location[-1]), {}).get("description", "")
        message = f"is required. {description}".rstrip()
        return Problem.at(place.key, (*place.path, str(location[-1])), message), place.steps
    if kind == "extra_forbidden":
        known = list(_settings_at(location[:-1]))
        hint = did_you_mean(str(location[-1]), known)
        message = f"there is no such setting.{hint} Settings here: {listed(known, 20)}"
        return Problem.at(place.key, place.path, message), place.steps
    if kind == "union_tag_invalid":
        message = _union(detail)
        chosen = locate(root, (*place.steps, _discriminator(detail)))
        return Problem.at(chosen.value, chosen.path, message), place.steps
    mark = place.key if location[-1:] == ("[key]",) or kind == "union_tag_not_found" else place.value
    return Problem.at(mark, place.path, _message(detail)), place.steps


def _message(detail: ErrorDetails) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return f"needs a {_discriminator(detail)}: one of {listed(_tags(detail))}"
    if value is None:
        return "is empty; write a value, or remove the key to get the default"
    if kind == "literal_error":
        expected = context["expected"]
        near = (
            did_you_mean(value, expected.replace(" or ", ", ").replace("'", "").split(", "))
            if isinstance(value, str)
            else ""
        )
        return f"expected {expected}.{near}"
    if kind == "string_type":
        return "expected text" + ("" if isinstance(value, dict | list) else "; put quotes around it")
    if kind == "string_pattern_mismatch":
        written = str(context["pattern"])
        known = (text for part, text in _PATTERNS.items() if part in written)
        return next(known, f"expected text of the form {written}")
    message: str = _EXPECTED.get(kind) or detail["msg"].replace("Input should be", "must be")
    return message


def _union(detail: ErrorDetails) -> str:
    tag, name, tags = str(detail.get("ctx", {}).get("tag", "")), _discriminator(detail), _tags(detail)
    what = "provider type" if name == "type" else name
    return f"there is no {what} {quoted(tag)}.{did_you_mean(tag, tags)} {name.capitalize()}s: {listed(tags)}"


def _discriminator(detail: ErrorDetails) -> str:
    """The setting that says which of several forms a mapping has."""
    return str(detail.get("ctx", {}).get("discriminator", "type")).strip("'")


@cache
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()


def _tags(detail: ErrorDetails) -> list[str]:
    """Its values; Pydantic tells them only where one of them was written wrong."""
    expected = re.findall(r"'([^']+)'", str(detail.get("ctx", {}).get("expected_tags", "")))
    return expected or list(_schema_at(detail["loc"])["discriminator"]["mapping"])


def _settings_at(location: Sequence[str | int]) -> dict[str, Any]:
    """The settings that may stand at a location, by name."""
    settings: dict[str, Any] = _schema_at(location).get("properties", {})
    return settings


def _schema_at(location: Sequence[str | int]) -> dict[str, Any]:
    node: dict[str, Any] = _schema()
    for step in location:
        node = _of(node, step)
    return node


def _of(node: dict[str, Any], step: str | int) -> dict[str, Any]:
    """One step into a JSON Schema, with references and optional values resolved; {} where it knows none."""
    tags = node.get("discriminator", {}).get("mapping", {})
    below: Iterable[Any] = (
        node.get("properties", {}).get(step),
        node.get("items"),
        node.get("additionalProperties"),
        *node.get("patternProperties", {}).values(),
    )
    found: dict[str, Any]
    if step in tags:
        found = {"$ref": tags[step]}
    else:
        found = next((schema for schema in below if isinstance(schema, dict)), {})
    while "$ref" in found or "anyOf" in found:
        if "$ref" in found:
            found = _schema()["$defs"][found["$ref"].rsplit("/", 1)[-1]]
        else:
            found = next(schema for schema in found["anyOf"] if schema.get("type") != "null")
    return found
