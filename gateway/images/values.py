"""The value of one field, in the caller's words: from a form's text to a JSON type, then type, bounds and
vocabulary. What a given model takes of the vocabulary is decided later, for each target (fitting.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from config.catalog import CatalogModel
from gateway.images.backgrounds import colour_of
from gateway.images.fields import VOCABULARY, Field, Kind, choices_of, is_lenient
from gateway.images.wording import (
    above_maximum,
    below_minimum,
    invalid_value,
    not_a_choice,
    unconvertible,
    unknown_parameter,
    wrong_type,
)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def from_text(field: Field, param: str, value: object) -> object:
    """A form's text as the JSON type of its field; what is no text stays and is judged by its type."""
    if isinstance(value, Mapping) and field.members:
        members = {member.name: member for member in field.members}
        return {
            key: from_text(members[key], f"{param}.{key}", inner) if key in members else inner
            for key, inner in value.items()
        }
    if not isinstance(value, str):
        return value
    if field.kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(value):
            raise unconvertible(param, field.kind)
        return int(value)
    if field.kind is Kind.NUMBER:
        if not _NUMBER.fullmatch(value):
            raise unconvertible(param, field.kind)
        return float(value) if "." in value else int(value)
    if field.kind is Kind.BOOLEAN:
        if value.lower() not in _BOOLEANS:
            raise unconvertible(param, field.kind)
        return _BOOLEANS[value.lower()]
    return value


def checked(field: Field, param: str, value: object, entries: Sequence[CatalogModel]) -> object:
    """The value of one field, or ``InvalidRequest``. ``param`` is its full path, ``entries`` are the models
    that may be asked: words of their own count as known, and where nothing is known of any, all words do."""
    lenient = all(is_lenient(entry) for entry in entries)
    if field.kind is Kind.INTEGER:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, field.kind, value)
        if not lenient or field.name == "n":
            _check_bounds(field, param, value)
    elif field.kind is Kind.NUMBER:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong_type(param, field.kind, value)
        _check_bounds(field, param, value)
    elif field.kind is Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise wrong_type(param, field.kind, value)
    elif field.kind is Kind.OBJECT:
        if not isinstance(value, dict):
            raise wrong_type(param, field.kind, value)
        return _members(field, param, value, entries) if field.members else value
    elif field.kind is Kind.ARRAY:
        if not isinstance(value, list):
            raise wrong_type(param, field.kind, value)
    else:
        if not isinstance(value, str):
            raise wrong_type(param, field.kind, value)
        _check_word(field, param, value, [] if lenient and field.name != "fit" else entries)
    return value


def _members(
    field: Field, param: str, value: Mapping[str, object], entries: Sequence[CatalogModel]
) -> dict[str, object]:
    table = {member.name: member for member in field.members}
    for key in value:
        if key not in table:
            raise unknown_parameter(f"{param}.{key}", (f"{param}.{known}" for known in table))
    return {
        key: checked(table[key], f"{param}.{key}", inner, entries)
        for key, inner in value.items()
        if inner is not None
    }


def _check_bounds(field: Field, param: str, value: float) -> None:
    if field.minimum is not None and value < field.minimum:
        raise below_minimum(param, field.minimum, value)
    if field.maximum is not None and value > field.maximum:
        raise above_maximum(param, field.maximum, value)


def _check_word(field: Field, param: str, value: str, entries: Sequence[CatalogModel]) -> None:
    """``entries`` empty: any word will do."""
    if "\x00" in value:
        raise invalid_value(param, f"Invalid '{param}': it holds a NUL character.")
    words = [choices_of(field, entry) for entry in entries]
    known = {*VOCABULARY.get(field.name, field.choices), *(word for listed in words for word in listed)}
    if not known or not entries or value in known:
        return
    if field.name == "background" and colour_of(value) is not None:
        return
    # OpenAI's list for its own models; what else is understood stands in docs/normalization.md.
    raise not_a_choice(param, value, next(filter(None, words), VOCABULARY.get(field.name, field.choices)))
