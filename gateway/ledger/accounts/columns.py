"""The columns of the plain export: one for each fact of a line, label and tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter

from gateway.ledger.accounts.lines import TOKENS, Line
from gateway.ledger.accounts.money import exact
from gateway.ledger.accounts.sheet import safe
from gateway.ledger.tables import from_micros

Cell = str | int | None


def dollars(amount: int | None) -> str | None:
    return None if amount is None else exact(amount)


@lru_cache(maxsize=4096)
def moment(micros: int) -> str:
    return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _field(name: str) -> Callable[[Line], Cell]:
    read: Callable[[Line], Cell] = attrgetter(name)
    return read


_BEFORE: Mapping[str, Callable[[Line], Cell]] = {
    name: _field(name)
    for name in ("day", "kind", "project_id", "project", "key_id", "key", "external_key_id")
}
_AFTER: Mapping[str, Callable[[Line], Cell]] = {
    **{
        name: _field(name)
        for name in (
            *("model", "provider", "upstream_model", "operation", "size", "quality", "state", "images"),
            *TOKENS,
        )
    },
    "cost_usd": lambda line: dollars(line.cost),
    "unknown_usd": lambda line: dollars(line.unknown),
    "price_version": _field("price_version"),
    "flags": _field("flags"),
    "note": _field("note"),
    "attempt_id": _field("attempt_id"),
    "line_id": _field("line_id"),
    "received_at": lambda line: moment(line.received_at),
    "made_at": lambda line: moment(line.made_at),
}
NUMBERS = frozenset({"images", *TOKENS, "cost_usd", "unknown_usd"})


class Columns:
    """``labels`` and ``tags`` are names; each is a column ``label.NAME`` or ``tag.NAME``."""

    def __init__(self, labels: Sequence[str], tags: Sequence[str]) -> None:
        own: dict[str, Callable[[Line], Cell]] = {}
        for name in labels:
            own[f"label.{name}"] = lambda line, name=name: line.labels.get(name)  # type: ignore[misc]
        for name in tags:
            own[f"tag.{name}"] = lambda line, name=name: line.tags.get(name)  # type: ignore[misc]
        self._facts = {**_BEFORE, **own, **_AFTER}
        self._cells = tuple((read, name in NUMBERS) for name, read in self._facts.items())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._facts)

    @property
    def header(self) -> list[str]:
        return [safe(name) for name in self._facts]

    def facts(self, line: Line) -> dict[str, Cell]:
        """For JSON: money is text, so that no reader makes a float of it."""
        return {name: read(line) for name, read in self._facts.items()}

    def cells(self, line: Line) -> list[str]:
        found = []
        for read, is_number in self._cells:
            value = read(line)
            if value is None or value == "":
                found.append("")
            else:
                found.append(str(value) if is_number else safe(str(value)))
        return found
