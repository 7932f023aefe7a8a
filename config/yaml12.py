"""The strict reader: YAML 1.2's core scalars, and none of YAML's surprises.

YAML 1.1, which PyYAML speaks, reads ``16:9`` as 969, ``no`` as false and a date as a date, and lets the last
of two equal keys win. So only PyYAML's parser is used, for its events with places; what they mean is decided
here. Keys are always text. Refused: equal keys, merge keys, tags beyond the core ones, several documents,
aliases that expand to more than they are worth, NaN and infinity.

A fault that leaves the rest of the file readable is noted and passed over, so that the rest can be checked
too: of equal keys the first counts, merge keys stand for what they say, and what has no meaning is
``Unreadable``.

::

    Node = Scalar | Sequence | Mapping | Unreadable      each knows where it stands
"""

from __future__ import annotations

import re
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
_NOT_ALLOWED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"
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


def read(data: bytes, file: str) -> Node:
    """One document as a tree. An empty document is a null scalar. Raises :class:`ConfigErrors` with every
    fault."""
    root, problems = read_on(data, file)
    if problems:
        raise ConfigErrors(problems)
    return root


def read_on(data: bytes, file: str) -> tuple[Node, list[Problem]]:
    """As much as can be read, and the faults that were passed over. Raises :class:`ConfigErrors` for a fault
    that nothing can be read after, with those before it."""
    text = _decoded(data, file)
    reader = _Reader(file)
    for number, line in enumerate(text.split("\n"), 1):
        if found := _NOT_ALLOWED.search(line):
            mark = Mark(file, number, found.start() + 1)
            reader.problems.append(Problem.at(mark, (), "a character that YAML does not allow; remove it"))
    if reader.problems:
        text, reader.replacement = _NOT_ALLOWED.sub(_REPLACEMENT, text), _REPLACEMENT
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.YAMLError as error:
        at: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = Mark(file, at.line + 1, at.column + 1) if at is not None else Mark(file)
        what = getattr(error, "problem", None) or getattr(error, "context", None) or "not YAML"
        problem = Problem.at(mark, (), f"this is not valid YAML: {what}")
        raise ConfigErrors([*reader.problems, problem]) from None
    return reader.root if reader.root is not None else Scalar(Mark(file), None), reader.problems


def plain(node: Node) -> Any:
    """The tree as dicts, lists and values; what is unreadable stays what it is."""
    if isinstance(node, Mapping):
        return {key: plain(item) for key, item in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else node


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
    expanded. ``key`` is None while the value of no usable key is awaited; ``merged`` are the values of merge
    keys."""

    node: Sequence | Mapping
    anchor: str | None
    size: int = 1
    height: int = 1
    key: tuple[str, Mark] | None = None
    awaits_value: bool = False
    merges: bool = False
    merged: list[Node] = field(default_factory=list)


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
        self._is_bomb = False
        self.replacement: str | None = None

    def take(self, event: yaml.Event) -> None:
        start: Any = event.start_mark
        mark = Mark(self.file, start.line + 1, start.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents == 2:
                self._problem(mark, "a second document (---); a configuration is one document")
        if self._documents > 1:
            return
        match event:
            case yaml.ScalarEvent():
                fits = self._check_tag(event.tag, ("str", *_SCALARS), mark)
                if self._awaits_key():
                    self._key(event, mark)
                else:
                    node = self._scalar(event, mark) if fits else Unreadable(mark)
                    self._add(node, event.anchor, 1, 0)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                is_list = isinstance(event, yaml.SequenceStartEvent)
                self._check_tag(event.tag, ("seq",) if is_list else ("map",), mark)
                if len(self._stack) >= _MAX_DEPTH:
                    self._stop(mark, f"nested more than {_MAX_DEPTH} deep")
                if self._awaits_key():
                    self._problem(mark, "a list or a mapping cannot be a key")
                self._stack.append(_Open(Sequence(mark) if is_list else Mapping(mark), event.anchor))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                closed = self._stack.pop()
                if isinstance(closed.node, Mapping):
                    _merge(closed.node, closed.merged)
                self._add(closed.node, closed.anchor, closed.size, closed.height)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), mark)

    def _alias(self, name: str, mark: Mark) -> None:
        node, size, height = self._anchors.get(name, (Unreadable(mark), 1, 0))
        wrong = None
        if self._awaits_key():
            wrong = "an alias cannot be a key; write the key out"
        elif any(opened.anchor == name for opened in self._stack):
            wrong = f"the alias *{name} stands inside what it stands for"
        elif name not in self._anchors:
            wrong = f"the alias *{name} has no anchor &{name} before it"
        elif self._aliased + size > _MAX_ALIASED:
            # A bomb has thousands of these, and one tells what to do.
            wrong = f"aliases expand to more than {_MAX_ALIASED} values; write them out"
            is_told, self._is_bomb = self._is_bomb, True
            if is_told:
                self._add(Unreadable(mark), None, 1, 0)
                return
        elif len(self._stack) + height > _MAX_DEPTH:
            wrong = f"nested more than {_MAX_DEPTH} deep"
        if wrong is not None:
            self._problem(mark, wrong)
            self._add(Unreadable(mark), None, 1, 0)
            return
        self._aliased += size
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
        opened.key, opened.merges = (key, mark), is_plain and key == "<<"
        if opened.merges:
            self._problem(mark, "merge keys (<<) are not supported; write the settings out")
        elif self._is_damaged(key):
            self._no_key(opened)
        elif is_plain and key == "":
            self._problem(mark, "an empty key; a setting needs a name before the colon")
            self._no_key(opened)
        elif isinstance(opened.node, Mapping) and key in opened.node.keys:
            first = opened.node.keys[key]
            self._problem(mark, f"{quoted(key)} stands here twice, first in line {first.line}; keep one", key)
        if event.anchor:
            self._anchors[event.anchor] = (Scalar(mark, key), 1, 0)
        opened.awaits_value = True
        opened.size += 1

    def _no_key(self, opened: _Open) -> None:
        opened.key, opened.merges = None, False
        if isinstance(opened.node, Mapping):
            opened.node.incomplete = True

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
            return
        if not opened.awaits_value:
            self._no_key(opened)
        elif opened.merges:
            opened.merged.append(node)
        elif opened.key is not None and opened.key[0] in opened.node.items:
            opened.node.repeated.append((opened.key[0], node))
        elif opened.key is not None:
            opened.node.put(*opened.key, node)
        opened.awaits_value = not opened.awaits_value

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Node:
        text: str = event.value
        tag = (event.tag or "").removeprefix(_CORE)
        is_quoted = event.style not in (None, "")
        if self._is_damaged(text):
            return Unreadable(mark)
        try:
            if tag in _SCALARS:
                return Scalar(mark, tagged(text, tag))
            return Scalar(mark, text if tag or is_quoted else core(text))
        except ValueError as error:
            self._problem(mark, str(error))
            return Unreadable(mark)

    def _is_damaged(self, text: str) -> bool:
        return self.replacement is not None and self.replacement in text

    def _check_tag(self, tag: str | None, allowed: tuple[str, ...], mark: Mark) -> bool:
        if tag in (None, "!") or str(tag).removeprefix(_CORE) in allowed:
            return True
        self._problem(mark, f"the tag {quoted(str(tag))} is not supported; remove it")
        return False

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


def _merge(node: Mapping, merged: list[Node]) -> None:
    """What stands under merge keys, as its writer meant it: what is left out here is no second fault."""
    for value in merged:
        for source in value.items if isinstance(value, Sequence) else [value]:
            if not isinstance(source, Mapping):
                node.incomplete = True
                continue
            node.incomplete |= source.incomplete
            for key, item in source.items.items():
                if key not in node.items:
                    node.put(key, source.keys[key], item)
