"""One tree from a file and the files that it includes; every node keeps the name of its own file.

An included file may hold providers, models, catalog entries and ``organization.projects``, so that a team's
file cannot change how the gateway itself runs.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from config.nodes import Mapping, Node, Scalar, Sequence, Unreadable
from config.problems import ConfigErrors, Mark, Problem, quoted
from config.yaml12 import MAX_BYTES, read_on

_MAX_FILES = 1000
_MAX_CHAIN = 16
_MERGED = ("providers", "models")
_MAY_HOLD = "an included file may hold providers, models, catalog, organization.projects and include"


@dataclass(slots=True)
class Assembled:
    """``complete`` is False when a file or a part of one could not be read, so that some names may be
    missing. ``patterns`` are those of ``include`` that more files may come to fit; ``hashes`` are of the
    contents that were read, in their order."""

    root: Node
    files: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    patterns: list[str] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)


def assemble(file: str) -> Assembled:
    """Read ``file`` and all that it includes. Raises :class:`ConfigErrors` when nothing can be read of
    ``file`` itself; other faults are listed in the result."""
    root, problems, digest = _read_file(file)
    assembled = Assembled(root, [file], problems, hashes=[digest])
    if isinstance(root, Mapping):
        merged = root.copy()
        assembled.root = merged
        _include(root, file, merged, assembled, (os.path.realpath(file),), {os.path.realpath(file)})
    return assembled


def _read_file(file: str) -> tuple[Node, list[Problem], bytes]:
    """As much of one file as can be read, its faults, and the hash of its content; :class:`ConfigErrors` says
    why nothing can."""
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise ConfigErrors([Problem.at(Mark(file), (), f"cannot be read: {reason}")]) from None
    root, problems = read_on(data, file)
    empty = isinstance(root, Scalar) and root.value is None
    return Mapping(root.mark) if empty else root, problems, sha256(data).digest()


def _include(
    node: Mapping, file: str, into: Mapping, assembled: Assembled, chain: tuple[str, ...], seen: set[str]
) -> None:
    if any(isinstance(entry, Unreadable) for entry in _entries(node)):
        assembled.complete = False
    for index, mark, pattern in _patterns(node):
        path = ("include", index)
        assembled.patterns.append(os.path.join(os.path.dirname(file), pattern))
        try:
            names = _matching(pattern, file)
        except ValueError as error:
            assembled.problems.append(Problem.at(mark, path, str(error)))
            assembled.complete = False
            continue
        for name in names:
            real = os.path.realpath(name)
            if real in chain:
                # A pattern such as *.yaml finds the file that it stands in.
                what = "itself" if real == chain[-1] else f"{name}, which includes this file"
                assembled.problems.append(
                    Problem.at(mark, path, f"includes {what}; name other files, such as projects.d/*.yaml")
                )
            elif real not in seen:
                seen.add(real)
                _add_file(name, mark, into, assembled, (*chain, real), seen)


def _add_file(
    name: str, mark: Mark, into: Mapping, assembled: Assembled, chain: tuple[str, ...], seen: set[str]
) -> None:
    if len(assembled.files) >= _MAX_FILES or len(chain) > _MAX_CHAIN:
        limit = (
            f"more than {_MAX_FILES} files"
            if len(chain) <= _MAX_CHAIN
            else f"more than {_MAX_CHAIN} files deep"
        )
        assembled.problems.append(Problem.at(mark, ("include",), limit))
        assembled.complete = False
        return
    assembled.files.append(name)
    try:
        node, problems, digest = _read_file(name)
    except ConfigErrors as errors:
        assembled.problems += errors.problems
        assembled.complete = False
        return
    assembled.problems += problems
    assembled.hashes.append(digest)
    if isinstance(node, Unreadable):
        assembled.complete = False
        return
    if not isinstance(node, Mapping):
        assembled.problems.append(Problem.at(node.mark, (), f"expected settings (key: value); {_MAY_HOLD}"))
        return
    assembled.problems += _merge(node, into)
    _include(node, name, into, assembled, chain, seen)


def _merge(node: Mapping, into: Mapping) -> Iterator[Problem]:
    into.repeated += node.repeated
    into.incomplete |= node.incomplete
    for key, item in node.items.items():
        if key in (*_MERGED, "organization") and isinstance(item, Unreadable):
            # Its names may be any.
            target = _own_mapping(into, key, node.keys[key])
            if target is not None:
                target.incomplete = True
        elif key in _MERGED and isinstance(item, Mapping):
            yield from _merge_names(key, item, node.keys[key], into)
        elif key == "organization" and isinstance(item, Mapping):
            yield from _merge_projects(item, node.keys[key], into)
        elif key == "catalog" and isinstance(item, Unreadable):
            into.incomplete = True
        elif key == "catalog" and isinstance(item, Sequence):
            _join(key, item, node.keys[key], into)
        elif key == "catalog":
            yield Problem.at(item.mark, (key,), "expected a list of catalog entries")
        elif key in _MERGED or key == "organization":
            yield Problem.at(item.mark, (key,), "expected settings (key: value)")
        elif key != "include":
            yield Problem.at(node.keys[key], (key,), f"{_MAY_HOLD}; move this to the main file")


def _merge_names(key: str, item: Mapping, mark: Mark, into: Mapping) -> Iterator[Problem]:
    target = _own_mapping(into, key, mark)
    if target is None:
        return
    target.incomplete |= item.incomplete
    for name, value in item.items.items():
        if name in target.items:
            first = target.keys[name]
            yield Problem.at(
                item.keys[name], (key, name), f"{quoted(name)} is declared at {first} already; keep one"
            )
        else:
            target.put(name, item.keys[name], value)


def _merge_projects(item: Mapping, mark: Mark, into: Mapping) -> Iterator[Problem]:
    for key, projects in item.items.items():
        if key != "projects":
            yield Problem.at(
                item.keys[key], ("organization", key), f"{_MAY_HOLD}; move this to the main file"
            )
        elif isinstance(projects, Unreadable):
            continue
        elif not isinstance(projects, Sequence):
            yield Problem.at(projects.mark, ("organization", key), "expected a list of projects")
        elif (organization := _own_mapping(into, "organization", mark)) is not None:
            _join("projects", projects, item.keys[key], organization)


def _join(key: str, more: Sequence, mark: Mark, into: Mapping) -> None:
    """Puts the entries of a list behind those that stand under ``key``; each keeps the number that it has in
    its own file. What is no list there is left to validation."""
    before = into.items.get(key, Sequence(more.mark))
    if isinstance(before, Unreadable):
        before = Sequence(before.mark)
    if isinstance(before, Sequence):
        numbers = before.numbers or list(range(len(before.items)))
        joined = Sequence(before.mark, before.items + more.items, numbers + list(range(len(more.items))))
        into.put(key, into.keys.get(key, mark), joined)


def _own_mapping(into: Mapping, key: str, mark: Mark) -> Mapping | None:
    """``into[key]`` as a mapping that may be changed (an anchor may stand for it elsewhere), made where it
    is absent or unreadable; None where it is something else, which validation will report."""
    present = into.items.get(key, Mapping(mark))
    if isinstance(present, Unreadable):
        present = Mapping(present.mark, incomplete=True)
    if not isinstance(present, Mapping):
        return None
    copy = present.copy()
    into.put(key, into.keys.get(key, mark), copy)
    return copy


def _patterns(node: Mapping) -> Iterator[tuple[int, Mark, str]]:
    """The well-formed entries of ``include``; validation reports the others."""
    for entries in _included(node):
        if isinstance(entries, Sequence):
            for index, item in enumerate(entries.items):
                if isinstance(item, Scalar) and isinstance(item.value, str):
                    yield index, item.mark, item.value


def _included(node: Mapping) -> list[Node]:
    """What stands under ``include``, also where it is written twice: names come from all of its files."""
    written = [*node.items.items(), *node.repeated]
    return [entries for key, entries in written if key == "include"]


def _entries(node: Mapping) -> Iterator[Node]:
    for entries in _included(node):
        yield from entries.items if isinstance(entries, Sequence) else [entries]


def _matching(pattern: str, file: str) -> list[str]:
    """File names, sorted, relative to ``file``. Raises ValueError with what to do."""
    folder = os.path.dirname(file)
    full = os.path.join(folder, pattern)
    if "\0" in pattern or not pattern:
        raise ValueError("not a file name")
    if not glob.has_magic(pattern):
        if os.path.isdir(full):
            raise ValueError(
                f"{quoted(pattern)} is a folder; write {quoted(pattern.rstrip('/') + '/*.yaml')}"
            )
        if not os.path.exists(full):
            raise ValueError(f"there is no file {quoted(pattern)} beside this one")
        return [full]
    _look_into(_fixed_part(full))
    names = glob.glob(pattern, root_dir=folder or None)
    return sorted(full for name in names if not os.path.isdir(full := os.path.join(folder, name)))


def _fixed_part(pattern: str) -> str:
    """The folder that a pattern looks into, as far as its name has no magic."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern or os.curdir


def _look_into(folder: str) -> None:
    """Raises ValueError for a folder that cannot be listed: ``glob`` would find nothing there, and the teams
    whose files these are would have no keys any more. One that is not there has no files."""
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"the folder {quoted(folder)} cannot be listed: {error.strerror}") from None
