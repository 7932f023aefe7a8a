"""From a parser's events to the tree: what keys, scalars, tags, anchors and merge keys mean here.

A fault that leaves the rest of the file readable is noted and passed over, so that the rest can be checked
too: of equal keys the first counts, merge keys stand for what they say, and what has no meaning is
``Unreadable``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from config.nodes import Mapping, Node, Scalar, Sequence, Unreadable
from config.problems import ConfigErrors, Mark, Problem, quoted
from config.scalars import core, tagged

_MAX_DEPTH = 64
_MAX_ALIASED = 10_000

_CORE = "tag:yaml.org,2002:"
_SCALARS = ("int", "float", "bool", "null")


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


class Composer:
    """Builds the tree without recursion. ``replacement`` stands for characters that YAML does not allow and
    that are told already: what holds it is unreadable."""

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
