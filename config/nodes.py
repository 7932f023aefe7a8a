"""A YAML file as a tree that knows where everything stands.

::

    Node = Scalar | Sequence | Mapping | Unreadable
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from config.problems import Mark
from config.scalars import Value


@dataclass(slots=True)
class Scalar:
    mark: Mark
    value: Value


@dataclass(slots=True)
class Sequence:
    """``numbers`` are the places of the items in the list as written, where that differs: a list may be put
    together from several files."""

    mark: Mark
    items: list[Node] = field(default_factory=list)
    numbers: list[int] | None = None


@dataclass(slots=True)
class Mapping:
    """``keys`` says where each key stands; it has the same keys as ``items``. ``repeated`` holds what stands
    under a key for the second time. ``incomplete`` says that an entry's key cannot be read, so that a missing
    one may be there after all."""

    mark: Mark
    items: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)
    repeated: list[tuple[str, Node]] = field(default_factory=list)
    incomplete: bool = False

    def put(self, key: str, mark: Mark, node: Node) -> None:
        self.items[key] = node
        self.keys[key] = mark

    def copy(self) -> Mapping:
        return Mapping(self.mark, dict(self.items), dict(self.keys), list(self.repeated), self.incomplete)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands where a value has a fault that is told already. No setting accepts it."""

    mark: Mark


Node = Scalar | Sequence | Mapping | Unreadable


def plain(node: Node) -> Any:
    """The tree as dicts, lists and values; what is unreadable stays what it is."""
    if isinstance(node, Mapping):
        return {key: plain(item) for key, item in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else node
