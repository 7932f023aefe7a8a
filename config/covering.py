"""Whether one ``when:`` fits all that another fits. What cannot be compared counts as not covered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from config.routing import WhenSettings

_Holds = Callable[[Any, Any], bool]


def covers(wide: WhenSettings | None, narrow: WhenSettings | None, ids: Mapping[str, str]) -> bool:
    """``ids`` are the projects' ids by name."""
    if wide is None:
        return True
    if narrow is None:
        return False

    def projects(written: Iterable[str], other: Iterable[str]) -> bool:
        return {ids.get(name, name) for name in other} <= {ids.get(name, name) for name in written}

    special: dict[str, _Holds] = {
        "project": projects,
        "key": _keys,
        "tags": _tags,
        "hours": _hours,
        "spent": _spent,
    }
    for name, written in wide.written.items():
        other = getattr(narrow, name)
        if other is None or not special.get(name, _words)(written, other):
            return False
    return True


def _words(wide: list[str], narrow: list[str]) -> bool:
    return set(narrow) <= set(wide)


def _keys(wide: list[str], narrow: list[str]) -> bool:
    """``KEY`` is that key of any project."""
    return all(key in wide or key.rpartition("/")[2] in wide for key in narrow)


def _tags(wide: dict[str, list[str]], narrow: dict[str, list[str]]) -> bool:
    return all(tag in narrow and set(narrow[tag]) <= set(values) for tag, values in wide.items())


def _spent(wide: Any, narrow: Any) -> bool:
    return bool(wide <= narrow)


def _hours(wide: str, narrow: str) -> bool:
    """The same, or a part of a span within one day."""
    if wide == narrow:
        return True
    (begins, ends), (first, last) = wide.split("-"), narrow.split("-")
    return begins < ends and first < last and begins <= first and last <= ends
