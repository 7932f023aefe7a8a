"""Sums of lines by what somebody wants to see them by. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from gateway.errors import InvalidRequest
from gateway.ledger.accounts.columns import Cell, dollars
from gateway.ledger.accounts.lines import Line
from gateway.ledger.accounts.sheet import safe

_PLAIN = ("day", "kind", "model", "provider", "upstream_model", "operation", "size", "quality", "state")
_PAIRS = {"project": ("project_id", "project"), "key": ("key_id", "key")}
WORDS = (*_PLAIN, *_PAIRS, "external_key_id", "label.NAME", "tag.NAME")
SUMS = ("lines", "images", "input_tokens", "output_tokens", "cost_usd", "unknown_usd", "unknown_lines")


@dataclass(slots=True)
class _Sums:
    lines: int = 0
    images: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    unknown: int = 0
    unknown_lines: int = 0

    def add(self, line: Line) -> None:
        self.lines += 1
        self.images += line.images or 0
        self.input_tokens += line.input_tokens or 0
        self.output_tokens += line.output_tokens or 0
        self.cost += line.cost or 0
        self.unknown += line.unknown or 0
        self.unknown_lines += line.cost is None


class Groups:
    """Give it all lines, then ask for the rows. Raises :class:`InvalidRequest` for an unknown dimension."""

    def __init__(self, by: Sequence[str]) -> None:
        self._readers: dict[str, Callable[[Line], str]] = {}
        for word in by:
            self._readers.update(_readers(word))
        self._groups: dict[tuple[str, ...], _Sums] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._readers, *SUMS)

    @property
    def header(self) -> list[str]:
        return [safe(name) for name in self.names]

    def add(self, lines: Iterable[Line]) -> None:
        readers = tuple(self._readers.values())
        for line in lines:
            group = tuple([read(line) for read in readers])
            sums = self._groups.get(group)
            if sums is None:
                sums = self._groups[group] = _Sums()
            sums.add(line)

    def facts(self) -> Iterable[dict[str, Cell]]:
        for group, sums in sorted(self._groups.items(), key=lambda item: item[0]):
            facts: dict[str, Cell] = dict(zip(self._readers, group, strict=True))
            yield facts | {
                "lines": sums.lines,
                "images": sums.images,
                "input_tokens": sums.input_tokens,
                "output_tokens": sums.output_tokens,
                "cost_usd": dollars(sums.cost),
                "unknown_usd": dollars(sums.unknown),
                "unknown_lines": sums.unknown_lines,
            }

    def cells(self) -> Iterable[list[str]]:
        for facts in self.facts():
            yield [str(value) if name in SUMS else safe(str(value)) for name, value in facts.items()]


def _readers(word: str) -> dict[str, Callable[[Line], str]]:
    if word in _PAIRS:
        return {name: _field(name) for name in _PAIRS[word]}
    if word in _PLAIN or word == "external_key_id":
        return {word: _field(word)}
    kind, _, name = word.partition(".")
    if kind == "label" and name:
        return {word: lambda line: line.labels.get(name, "")}
    if kind == "tag" and name:
        return {word: lambda line: line.tags.get(name, "")}
    raise InvalidRequest(f"'by' can name {', '.join(WORDS)}; not '{word}'.", param="by")


def _field(name: str) -> Callable[[Line], str]:
    read: Callable[[Line], str] = attrgetter(name)
    return read
