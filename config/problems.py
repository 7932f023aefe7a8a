"""What is wrong with a configuration, and exactly where. Nothing here ever quotes a secret.

::

    ConfigErrors      everything that was found, at once
      Problem         one fault: file, line, column, the setting's path, what to do
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.sources import Sources

_MOST_SHOWN = 200
_MOST_COMPARED = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault. ``path`` is the setting, e.g. ``organization.projects[0].limits[1].per``, empty for a fault
    of the whole file."""

    file: str
    line: int
    column: int
    path: str
    message: str

    @classmethod
    def at(cls, mark: Mark, path: Sequence[str | int], message: str) -> Problem:
        return cls(mark.file, mark.line, mark.column, render_path(path), message)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigErrors(Exception):
    """A configuration that cannot be used. ``problems`` are sorted by file and place; ``str()`` has one line
    for each. ``sources`` is what was read of it, so that a change can be waited for."""

    def __init__(self, problems: Iterable[Problem], sources: Sources | None = None) -> None:
        self.sources = sources or Sources()
        self.problems = sorted(set(problems))
        shown = [str(problem) for problem in self.problems[:_MOST_SHOWN]]
        if len(self.problems) > _MOST_SHOWN:
            shown.append(f"and {len(self.problems) - _MOST_SHOWN} more")
        super().__init__("\n".join(shown))


def render_path(path: Sequence[str | int]) -> str:
    """``("projects", 0, "name")`` as ``projects[0].name``. A key that is not a plain word is quoted, so that
    nothing in a file can move a terminal's cursor."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w@:/.-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text


def quoted(text: str) -> str:
    """What somebody wrote, short and on one line."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`` Did you mean x?``, or nothing where no known name is near."""
    names = list(known)[:_MOST_COMPARED]
    near = difflib.get_close_matches(wrong[:200].lower(), names, n=1, cutoff=0.6)
    near = near or [name for name in names if name.lower() == wrong.lower()][:1]
    return f" Did you mean {near[0]}?" if near else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """``a, b and c``, shortened when there are many."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
