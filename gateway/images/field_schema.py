"""The values of fields and pictures as JSON Schemas (draft 2020-12): types, bounds, words and forms, as
validation reads them (values.py, intent.py, backgrounds.py, inputs.py).

Patterns are written for engines of ECMA-262 and for Python's.
"""

from __future__ import annotations

from collections.abc import Sequence

from config.catalog import CatalogModel
from gateway.images.fields import VOCABULARY, Field, Kind, choices_of
from gateway.images.inputs import URL_LENGTH

Schema = dict[str, object]

_TYPES = {
    Kind.STRING: "string",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.NUMBER: "number",
    Kind.OBJECT: "object",
    Kind.ARRAY: "array",
}

# Letters of either case; str.lower, which the rule reads with, makes a k of the Kelvin sign too.
_SPACE = (
    "[\\u0009-\\u000d\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*"
)
_AUTO = "[aA][uU][tT][oO]"
_PIXELS = "(?!0+[xX*\\u00d7])[0-9]{1,5}[xX*\\u00d7](?!0+(?![0-9]))[0-9]{1,5}"
_SIDE = "(?![0.]+(?![0-9.]))[0-9]{1,5}(?:\\.[0-9]{1,6})?"
_RATIO = f"{_SIDE}:{_SIDE}"
_TIER = "(?:16(?:\\.0{1,6})?|(?!0{1,2}(?:\\.0+)?[kK])(?:0[0-9]|1[0-5]|[0-9])(?:\\.[0-9]{1,6})?)[kK]"
_SIZES = {
    "size": (_AUTO, _PIXELS, _RATIO, _TIER),
    "aspect_ratio": (_AUTO, _RATIO),
    "resolution": (_AUTO, _TIER, "512"),
}
_EXAMPLES = {
    "size": ("1536x864", "16:9", "2K", "auto"),
    "aspect_ratio": ("16:9", "1.85:1"),
    "resolution": ("1K", "4K", "512"),
}
_HEX = "#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"
_WHITE, _BLACK = "[wW][hH][iI][tT][eE]", "[bB][lL][aA][cC][kK\\u212a]"
_COLOUR_NAMED: dict[str, object] = {
    "type": "string",
    "pattern": f"^{_SPACE}(?:{_HEX}|{_WHITE}|{_BLACK}){_SPACE}$",
}
_NO_NUL = "^[^\\u0000]*$"
_END = "(?![\\s\\S])"
_BASE64 = f"[A-Za-z0-9+/]+={{0,2}}{_END}"
_HTTPS = f"^[hH][tT][tT][pP][sS]://[^/\\s\\u0000-\\u0020]+[^\\s\\u0000-\\u0020]*{_END}"
_DATA_URL = f"^[dD][aA][tT][aA]:[^;,]*(?:;[^;,]*)*;[bB][aA][sS][eE]64,{_BASE64}"
_BARE = f"^(?=[A-Za-z0-9+/]{{24}}){_BASE64}"


def _link(*patterns: str) -> Schema:
    return {
        "type": "string",
        "maxLength": URL_LENGTH,
        "anyOf": [{"pattern": pattern} for pattern in patterns],
    }


PICTURE: Schema = {
    "description": "An https URL, a base64 data URL or base64 alone; or one of the first two in an object.",
    "anyOf": [
        _link(_HTTPS, _DATA_URL, _BARE),
        {
            "type": "object",
            "required": ["image_url"],
            "properties": {"image_url": _link(_HTTPS, _DATA_URL), "file_id": {"type": "null"}},
            "additionalProperties": False,
        },
    ],
}


def nullable(schema: Schema) -> Schema:
    """Null is the same as leaving a field out."""
    if isinstance(words := schema.get("enum"), list):
        return {**schema, "enum": [*words, None]}
    if isinstance(kinds := schema.get("anyOf"), list) and "type" not in schema:
        return {**schema, "anyOf": [*kinds, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def field_schema(known: Field, entries: Sequence[CatalogModel] = (), *, lenient: bool = False) -> Schema:
    """Of the value of one field; null aside. ``entries`` may have words of their own; ``lenient``: nothing is
    known of any of them, and types alone are judged."""
    if known.name in _SIZES:
        pattern = f"^{_SPACE}(?:{'|'.join(_SIZES[known.name])}){_SPACE}$"
        return {"type": "string", "pattern": pattern, "examples": list(_EXAMPLES[known.name])}
    bounded = not lenient or known.kind is Kind.NUMBER or known.name == "n"
    listed = [word for entry in entries for word in choices_of(known, entry)]
    words = list(dict.fromkeys((*VOCABULARY.get(known.name, known.choices), *listed)))
    if words and known.kind is Kind.STRING and (not lenient or known.name == "fit"):
        choice: Schema = {"enum": words}
        return {"anyOf": [choice, _COLOUR_NAMED]} if known.name == "background" else choice
    schema: Schema = {"type": _TYPES[known.kind]}
    if known.kind is Kind.STRING:
        schema["pattern"] = _NO_NUL
    if known.minimum is not None and bounded:
        schema["minimum"] = known.minimum
    if known.maximum is not None and bounded:
        schema["maximum"] = known.maximum
    if known.members:
        members = {each.name: field_schema(each, entries, lenient=lenient) for each in known.members}
        schema["properties"] = {name: nullable(member) for name, member in members.items()}
        schema["additionalProperties"] = False
    return schema
