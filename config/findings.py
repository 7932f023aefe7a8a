"""Collects what the checks find, each at the place where it was written."""

from __future__ import annotations

from config import yaml12
from config.positions import locate
from config.problems import Problem

Location = tuple[str | int, ...]


class Findings:
    """``problems`` make a configuration unusable, ``warnings`` do not."""

    def __init__(self, root: yaml12.Node) -> None:
        self._root = root
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, location: Location, message: str) -> None:
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
