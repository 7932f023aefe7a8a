"""The strict reader: YAML 1.2's core scalars, and none of YAML's surprises.

YAML 1.1, which PyYAML speaks, reads ``16:9`` as 969, ``no`` as false and a date as a date, and lets the last
of two equal keys win. So only PyYAML's parser is used, for its events with places; what they mean is decided
here. Keys are always text. Refused: equal keys, merge keys, tags beyond the core ones, several documents,
aliases that expand to more than they are worth, NaN and infinity.

::

    Node = Scalar | Sequence | Mapping      each knows where it stands
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from config.problems import ConfigErrors, Mark, Problem, quoted
from config.scalars import Value, core, tagged

MAX_BYTES = 4 * 2**20
_MAX_DEPTH = 64
_MAX_ALIASED = 10_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_SCALARS = ("int", "float", "bool", "null")


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
    """``keys`` says where each key stands; it has the same keys as ``items``."""

    mark: Mark
    items: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)

    def put(self, key: str, mark: Mark, node: Node) -> None:
        self.items[key] = node
        self.keys[key] = mark


Node = Scalar | Sequence | Mapping


def read(data: bytes, file: str) -> Node:
    """One document as a tree. An empty document is a null scalar. Raises :class:`ConfigErrors`, with every
    fault that the rest of the file could still be read after."""
    text = _decoded(data, file)
    reader = _Reader(file)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        at: Any = error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at is not None else Mark(file)
        what = error.problem or error.context or "not YAML"
        reader.problems.append(Problem.at(mark, (), f"this is not valid YAML: {what}"))
    except yaml.reader.ReaderError as error:
        mark = _mark_of_byte(text.encode(), error.position or 0, file)
        reader.problems.append(Problem.at(mark, (), "a character that YAML does not allow; remove it"))
    if reader.problems:
        raise ConfigErrors(reader.problems)
    return reader.root if reader.root is not None else Scalar(Mark(file), None)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and values."""
    if isinstance(node, Mapping):
        return {key: plain(item) for key, item in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value


def _decoded(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigErrors(
            [Problem.at(Mark(file), (), f"larger than {MAX_BYTES // 2**20} MiB; split it with include:")]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_of_byte(data, error.start, file)
        message = "this byte is not UTF-8; save the file as UTF-8 text"
        raise ConfigErrors([Problem.at(mark, (), message)]) from None
    if "\0" in text:
        mark = _mark_of_byte(data, data.index(b"\0"), file)
        raise ConfigErrors([Problem.at(mark, (), "a NUL character; this is not a text file")])
    return text


def _mark_of_byte(data: bytes, position: int, file: str) -> Mark:
    before = data[:position]
    line = before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")
    return Mark(file, before.count(b"\n") + 1, len(line) + 1)


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come. ``size`` counts its nodes and ``height`` its levels, aliases
    expanded."""

    node: Sequence | Mapping
    anchor: str | None
    size: int = 1
    height: int = 1
    key: tuple[str, Mark] | None = None
    awaits_value: bool = False


class _Reader:
    """Builds the tree from parser events, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._documents = 0
        self._aliased = 0

    def take(self, event: yaml.Event) -> None:
        start: Any = event.start_mark
        mark = Mark(self.file, start.line + 1, start.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents == 2:
                    self._stop(mark, "a second document (---); a configuration is one document")
            case yaml.ScalarEvent():
                self._check_tag(event.tag, ("str", *_SCALARS), mark)
                if self._awaits_key():
                    self._key(event, mark)
                else:
                    self._add(Scalar(mark, self._value(event, mark)), event.anchor, 1, 0)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                is_list = isinstance(event, yaml.SequenceStartEvent)
                self._check_tag(event.tag, ("seq",) if is_list else ("map",), mark)
                if len(self._stack) >= _MAX_DEPTH:
                    self._stop(mark, f"nested more than {_MAX_DEPTH} deep")
                if self._awaits_key():
                    self._stop(mark, "a list or a mapping cannot be a key")
                self._stack.append(_Open(Sequence(mark) if is_list else Mapping(mark), event.anchor))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                closed = self._stack.pop()
                self._add(closed.node, closed.anchor, closed.size, closed.height)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), mark)

    def _alias(self, name: str, mark: Mark) -> None:
        if self._awaits_key():
            self._stop(mark, "an alias cannot be a key; write the key out")
        if any(opened.anchor == name for opened in self._stack):
            self._stop(mark, f"the alias *{name} stands inside what it stands for")
        if name not in self._anchors:
            self._problem(mark, f"the alias *{name} has no anchor &{name} before it")
            self._add(Scalar(mark, None), None, 1, 0)
            return
        node, size, height = self._anchors[name]
        self._aliased += size
        if self._aliased > _MAX_ALIASED:
            self._stop(mark, f"aliases expand to more than {_MAX_ALIASED} values; write them out")
        if len(self._stack) + height > _MAX_DEPTH:
            self._stop(mark, f"nested more than {_MAX_DEPTH} deep")
        self._add(node, None, size, height)

    def _awaits_key(self) -> bool:
        return (
            bool(self._stack)
            and isinstance(self._stack[-1].node, Mapping)
            and not self._stack[-1].awaits_value
        )

    def _key(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        opened = self._stack[-1]
        key: str = event.value
        is_plain = event.style in (None, "")
        if is_plain and key == "<<":
            self._problem(mark, "merge keys (<<) are not supported; write the settings out")
        elif is_plain and key == "":
            self._problem(mark, "an empty key; a setting needs a name before the colon")
        elif isinstance(opened.node, Mapping) and key in opened.node.keys:
            first = opened.node.keys[key]
            self._problem(mark, f"{quoted(key)} stands here twice, first in line {first.line}; keep one", key)
        if event.anchor:
            self._anchors[event.anchor] = (Scalar(mark, key), 1, 0)
        opened.key, opened.awaits_value = (key, mark), True
        opened.size += 1

    def _add(self, node: Node, anchor: str | None, size: int, height: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size, height)
        if not self._stack:
            if self.root is None:
                self.root = node
            return
        opened = self._stack[-1]
        opened.size += size
        opened.height = max(opened.height, height + 1)
        if isinstance(opened.node, Sequence):
            opened.node.items.append(node)
        elif opened.key is not None:
            opened.node.put(*opened.key, node)
            opened.awaits_value = False

    def _value(self, event: yaml.ScalarEvent, mark: Mark) -> Value:
        text: str = event.value
        tag = (event.tag or "").removeprefix(_CORE)
        is_quoted = event.style not in (None, "")
        try:
            if tag in _SCALARS:
                return tagged(text, tag)
            return text if tag or is_quoted else core(text)
        except ValueError as error:
            self._problem(mark, str(error))
            return None

    def _check_tag(self, tag: str | None, allowed: tuple[str, ...], mark: Mark) -> None:
        if tag not in (None, "!") and str(tag).removeprefix(_CORE) not in allowed:
            self._problem(mark, f"the tag {quoted(str(tag))} is not supported; remove it")

    def _path(self) -> Iterator[str | int]:
        for opened in self._stack:
            if isinstance(opened.node, Sequence):
                yield len(opened.node.items)
            elif opened.key is not None and opened.awaits_value:
                yield opened.key[0]

    def _problem(self, mark: Mark, message: str, *last: str) -> None:
        self.problems.append(Problem.at(mark, (*self._path(), *last), message))

    def _stop(self, mark: Mark, message: str) -> None:
        self._problem(mark, message)
        raise ConfigErrors(self.problems)
