"""Values, their schema and their document speak of the same things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.helm.rendered import CHART, VALUE_SETS, VALUES
from tests.servers import ROOT

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def _closed(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every object whose names are all known, and the names."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is False:
        yield path, set(schema["properties"])
        for name, inner in schema["properties"].items():
            yield from _closed(inner, f"{path}.{name}".strip("."))


def _value(path: str) -> Any:
    found: Any = VALUES
    for name in filter(None, path.split(".")):
        found = found[name]
    return found


def test_every_value_that_the_schema_knows_stands_in_the_values_file_with_its_default() -> None:
    objects = dict(_closed(SCHEMA))
    assert len(objects) > 25
    for path, names in objects.items():
        assert names - {"global"} == set(_value(path)), path


def test_the_document_names_values_that_there_are() -> None:
    found = re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:: [^`]*)?`", DOCUMENT)
    words = [word for word in found if word.split(".")[0] in VALUES]
    assert len(words) > 15
    for word in words:
        if not word.startswith("config."):
            _value(word)


def test_the_document_lists_every_value_set() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", DOCUMENT.split("## The configuration")[0], re.MULTILINE)
    assert sorted(listed) == VALUE_SETS
