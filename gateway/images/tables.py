"""Look-ups in published tables: quality, then size; ``any`` stands for what a table does not name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from config.prices import ANY

T = TypeVar("T")
Cell = TypeVar("Cell", int, Decimal)


def dearest(
    table: Mapping[str, Mapping[str, Cell]], quality: str | None, size: str | None
) -> tuple[Cell, bool]:
    """The cell, and whether the table says it outright; else the dearest that it can be."""
    rows, names_quality = _entries(table, quality)
    found = [_entries(row, size) for row in rows]
    return max(cell for cells, _ in found for cell in cells), names_quality and all(
        named for _, named in found
    )


def _entries(table: Mapping[str, T], name: str | None) -> tuple[Iterable[T], bool]:
    if name is not None and name in table:
        return [table[name]], True
    if len(table) == 1 and ANY in table:
        return table.values(), True
    if name is not None and name != "auto" and ANY in table:
        return [table[ANY]], True
    return table.values(), False
