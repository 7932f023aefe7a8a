"""Collects what the checks find, each at the place where it was written."""

from __future__ import annotations

from collections.abc import Collection

from config.nodes import Node
from config.positions import locate
from config.problems import Mark, Problem

Location = tuple[str | int, ...]


class Findings:
    """``problems`` make a configuration unusable, ``warnings`` do not. ``uncertain`` are the places of lists
    whose entries lack something that was written but cannot be read: what compares whole entries there, such
    as two limits that count the same, would be wrong."""

    def __init__(self, root: Node, uncertain: Collection[Mark] = ()) -> None:
        self._root = root
        self._uncertain = uncertain
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, location: Location, message: str) -> None:
        if isinstance(location[-1], int) and locate(self._root, location[:-1]).value in self._uncertain:
            return
        self.problems.append(self.here(location, message))

    def problem_at_key(self, location: Location, message: str) -> None:
        """For a fault of the key rather than of its value."""
        place = locate(self._root, location)
        self.problems.append(Problem.at(place.key, place.path, message))

    def warn(self, location: Location, message: str) -> None:
        self.warnings.append(self.here(location, message))

    def here(self, location: Location, message: str) -> Problem:
        place = locate(self._root, location)
        # A default stands in no file: the nearest thing that does is its section's key.
        mark = place.value if place.steps == location else place.key
        return Problem.at(mark, place.path, message)
