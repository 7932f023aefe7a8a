"""Statements that run with every commit: worked out once for each database and not each time.

SQLAlchemy finds a statement it has compiled before quickly, but then goes through its parameters one by one
in several passes, which costs more than the statement itself; and somebody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect

Build = Callable[[str], Any]
"""Makes the statement for a database, named as its dialect is."""

_Parameter = tuple[str, Any, Callable[[Any], Any] | None]
"""Its name, its value where no row gives one, and what makes a value the driver's."""


class Prepared:
    """One statement. All the rows that are given to it have the same keys, those of the first; keys that
    begin with two underscores are for others to read."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._known: dict[str, tuple[str, tuple[_Parameter, ...]]] = {}

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Once for each row. Raises what ``Connection.execute`` raises."""
        dialect = connection.dialect
        known = self._known.get(dialect.name)
        if known is None:
            keys = tuple(name for name in rows[0] if not name.startswith("__"))
            known = self._known[dialect.name] = self._compiled(dialect, keys)
        text, parameters = known
        return connection.exec_driver_sql(text, [_values(row, parameters) for row in rows])

    def _compiled(self, dialect: Dialect, keys: Sequence[str]) -> tuple[str, tuple[_Parameter, ...]]:
        statement = self._build(dialect.name)
        compiled: Any = statement.compile(dialect=dialect, column_keys=keys, for_executemany=True)
        parameters = tuple(
            (name, compiled.params[name], _processor(compiled.binds[name], dialect))
            for name in compiled.positiontup
        )
        return str(compiled), parameters


def _processor(bind: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    found: Callable[[Any], Any] | None = bind.type.dialect_impl(dialect).bind_processor(dialect)
    return found


def _values(row: Mapping[str, Any], parameters: Sequence[_Parameter]) -> tuple[Any, ...]:
    return tuple(
        row.get(name, usual) if process is None else process(row.get(name, usual))
        for name, usual, process in parameters
    )
