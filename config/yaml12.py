"""The strict reader: YAML 1.2's core scalars, and none of YAML's surprises.

YAML 1.1, which PyYAML speaks, reads ``16:9`` as 969, ``no`` as false and a date as a date, and lets the last
of two equal keys win. So only PyYAML's parser is used, for its events with places; what they mean is decided
here (``config/composing.py``, ``config/scalars.py``). Keys are always text. Refused: equal keys, merge keys,
tags beyond the core ones, several documents, aliases that expand to more than they are worth, NaN and
infinity.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from config.composing import Composer
from config.nodes import Node, Scalar
from config.problems import ConfigErrors, Mark, Problem

MAX_BYTES = 4 * 2**20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_ALLOWED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"


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
    composer = Composer(file)
    for number, line in enumerate(text.split("\n"), 1):
        if found := _NOT_ALLOWED.search(line):
            mark = Mark(file, number, found.start() + 1)
            composer.problems.append(Problem.at(mark, (), "a character that YAML does not allow; remove it"))
    if composer.problems:
        text, composer.replacement = _NOT_ALLOWED.sub(_REPLACEMENT, text), _REPLACEMENT
    try:
        for event in yaml.parse(text, Loader=_Loader):
            composer.take(event)
    except yaml.YAMLError as error:
        at: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = Mark(file, at.line + 1, at.column + 1) if at is not None else Mark(file)
        what = getattr(error, "problem", None) or getattr(error, "context", None) or "not YAML"
        problem = Problem.at(mark, (), f"this is not valid YAML: {what}")
        raise ConfigErrors([*composer.problems, problem]) from None
    return composer.root if composer.root is not None else Scalar(Mark(file), None), composer.problems


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
