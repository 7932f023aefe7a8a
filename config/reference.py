"""The tables of every setting in docs/configuration.md, made from the schema.

``python -m config.reference docs/configuration.md`` writes them anew between their two marks; a test fails
when they are old.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from config import marked
from config.json_schema import document

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))

Schema = dict[str, Any]


def render() -> str:
    """One section for each mapping of settings, in the order of the schema."""
    root = document()
    return "\n".join(_sections("", {**root, "description": ""}, root, set()))


def renewed(text: str) -> str:
    """The document with its tables made anew. Raises ValueError where the marks are missing."""
    return marked.renewed(text, BEGIN, END, render())


def _sections(path: str, schema: Schema, root: Schema, done: set[str]) -> Iterator[str]:
    # Limits stand in three places and are explained in the first.
    if schema["title"] in done:
        return
    done.add(schema["title"])
    rows: list[str] = []
    below: list[tuple[str, Schema]] = []
    required = schema.get("required", [])
    for name, written in schema["properties"].items():
        resolved = _resolved(written, root)
        inner = list(_inner(f"{path}.{name}" if path else name, resolved, root))
        below += inner
        if not inner or "description" in written:
            default = "required" if name in required else _default(written, resolved)
            about = written.get("description", "")
            rows.append(f"| `{name}` | {_kind(resolved, root)} | {default} | {about} |")
    if rows:
        yield f"### {f'`{path}`' if path else 'Top level'}\n"
        if schema.get("description"):
            yield " ".join(schema["description"].split()).replace("``", "`") + "\n"
        yield "| setting | value | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for place, inner_schema in below:
        yield from _sections(place, inner_schema, root, done)


def _inner(path: str, schema: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """The mappings of settings that stand below one setting, each with its path."""
    if "properties" in schema:
        yield path, schema
    elif "oneOf" in schema:
        for tag, reference in schema["discriminator"]["mapping"].items():
            yield (
                f"{path} ({schema['discriminator']['propertyName']}: {tag})",
                _resolved({"$ref": reference}, root),
            )
    elif "anyOf" in schema:
        for choice in schema["anyOf"]:
            yield from _inner(path, _resolved(choice, root), root)
    elif schema.get("type") == "array":
        yield from _inner(f"{path}[]", _resolved(schema["items"], root), root)
    elif schema.get("type") == "object":
        for values in _values(schema):
            yield from _inner(f"{path}.NAME", _resolved(values, root), root)


def _values(schema: Schema) -> list[Schema]:
    additional = schema.get("additionalProperties")
    return [
        *schema.get("patternProperties", {}).values(),
        *([additional] if isinstance(additional, dict) else []),
    ]


def _resolved(schema: Schema, root: Schema) -> Schema:
    """References followed and ``null`` left out, the description of the place kept."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]}
    elif "anyOf" in schema and "format" not in schema:
        choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        if len(choices) == 1:
            return _resolved(choices[0], root)
    return schema


def _kind(schema: Schema, root: Schema) -> str:
    if "format" in schema:
        return f"{schema['format']}, e.g. `{schema['examples'][-1]}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("pattern", "").startswith("^(env|file)"):
        return "`env:NAME` or `file:PATH`"
    if schema.get("type") == "array":
        return f"list of {_kind(_resolved(schema['items'], root), root)}"
    if "properties" in schema or "oneOf" in schema:
        return "settings"
    if schema.get("type") == "object":
        return f"NAME: {_kind(_resolved(_values(schema)[0], root), root)}"
    if "anyOf" in schema:
        choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(_kind(_resolved(choice, root), root) for choice in choices))
    names = {"string": "text", "integer": "whole number", "boolean": "true or false", "number": "number"}
    return names[schema["type"]]


def _default(written: Schema, resolved: Schema) -> str:
    value = written.get("default")
    if value is None:
        return "none"
    if resolved.get("format") == "size":
        unit, name = next(((size, name) for size, name in _UNITS if value % size == 0), (1, ""))
        return f"`{value // unit}{name}`"
    if resolved.get("format") == "duration":
        return f"`{Decimal(str(value)).normalize():f}s`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
