"""Bracketed names of form fields: ``svg[reasoning][effort]``, ``tags[]``, ``image[0]``."""

from __future__ import annotations

import re

from gateway.errors import InvalidRequest
from gateway.images.wording import duplicate, shown

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST = 8


def split_name(name: str) -> tuple[str, list[str]]:
    """``svg[model]`` as ``("svg", ["model"])``; a name that is not so built stands for itself."""
    match = _NAME.fullmatch(name)
    if match is None:
        return name, []
    keys = _KEY.findall(match[2])
    if len(keys) > _DEEPEST:
        raise InvalidRequest(
            f"The form field '{shown(name)}' is nested too deeply.", code="invalid_multipart"
        )
    return match[1], keys


def put(fields: dict[str, object], name: str, value: str) -> None:
    """Add one text to ``fields``: a plain name once, ``name[]`` as a list, ``name[key]`` as an object."""
    root, keys = split_name(name)
    if not keys:
        if root in fields:
            raise duplicate(root)
        fields[root] = value
    elif keys == [""]:
        listed = fields.setdefault(root, [])
        if not isinstance(listed, list):
            raise duplicate(root)
        listed.append(value)
    else:
        inner = fields.setdefault(root, {})
        for key in keys[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or keys[-1] in inner:
            raise duplicate(name)
        inner[keys[-1]] = value
