"""The value of one field: from a form's text to a JSON type, then type, bounds and choices."""

from __future__ import annotations

import re
from collections.abc import Mapping

from config.catalog import CatalogModel
from gateway.images.fields import KNOWN_QUALITIES, Field, Kind, choices_of, is_lenient
from gateway.images.sizing import check_size
from gateway.images.wording import (
    above_maximum,
    below_minimum,
    invalid_value,
    not_a_choice,
    quoted,
    unconvertible,
    unknown_parameter,
    wrong_type,
)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def from_text(field: Field, param: str, value: object) -> object:
    """A form's text as the JSON type of its field; what is no text stays and is judged by its type."""
    if not isinstance(value, str):
        return value
    if field.kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(value):
            raise unconvertible(param, field.kind)
        return int(value)
    if field.kind is Kind.BOOLEAN:
        if value.lower() not in _BOOLEANS:
            raise unconvertible(param, field.kind)
        return _BOOLEANS[value.lower()]
    return value


def checked(field: Field, param: str, value: object, name: str, entry: CatalogModel) -> object:
    """The value of one field, or ``InvalidRequest``; ``param`` is its full path."""
    if field.kind is Kind.INTEGER:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, field.kind, value)
        _check_bounds(field, param, value, entry)
    elif field.kind is Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise wrong_type(param, field.kind, value)
    elif field.kind is Kind.OBJECT:
        if not isinstance(value, dict):
            raise wrong_type(param, field.kind, value)
        return _members(field, param, value, name, entry)
    else:
        if not isinstance(value, str):
            raise wrong_type(param, field.kind, value)
        _check_word(field, param, value, name, entry)
    return value


def _members(
    field: Field, param: str, value: Mapping[str, object], name: str, entry: CatalogModel
) -> dict[str, object]:
    table = {member.name: member for member in field.members}
    for key in value:
        if key not in table:
            raise unknown_parameter(f"{param}.{key}", (f"{param}.{known}" for known in table))
    return {
        key: checked(table[key], f"{param}.{key}", inner, name, entry)
        for key, inner in value.items()
        if inner is not None
    }


def _check_bounds(field: Field, param: str, value: int, entry: CatalogModel) -> None:
    maximum = entry.max_n if field.name == "n" else field.maximum
    if is_lenient(entry) and field.name != "n":
        return
    if field.minimum is not None and value < field.minimum:
        raise below_minimum(param, field.minimum, value)
    if maximum is not None and value > maximum:
        raise above_maximum(param, maximum, value)


def _check_word(field: Field, param: str, value: str, name: str, entry: CatalogModel) -> None:
    if "\x00" in value:
        raise invalid_value(param, f"Invalid '{param}': it holds a NUL character.")
    if field.name == "size":
        check_size(value, entry.sizing)
        return
    choices = choices_of(field, entry)
    if not choices or value in choices or (is_lenient(entry) and field.listed_by is None):
        return
    if field.name == "quality" and value in KNOWN_QUALITIES:
        raise invalid_value(
            param,
            f"The model '{name}' does not support quality '{value}'. "
            f"Supported values are: {quoted(choices)}.",
        )
    if field.name == "background" and value == "transparent":
        raise invalid_value(param, "Transparent background is not supported for this model.")
    raise not_a_choice(param, value, choices)
