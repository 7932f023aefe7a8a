"""Metrics of how things stand: looked at when somebody reads them, and costing nothing otherwise.

A gateway keeps a :class:`Board` and writes on it before each reading; readers run in threads of their own and
see the last complete writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from gateway.version import VERSION

BUDGET_LIMIT = "imagegate.budget.limit_usd"
BUDGET_SETTLED = "imagegate.budget.settled_usd"
BUDGET_HELD = "imagegate.budget.held_usd"
BUDGET_UNKNOWN = "imagegate.budget.unknown_usd"
LIMIT_USAGE = "imagegate.limit.usage"
PROVIDER_STATE = "imagegate.provider.state"
PROVIDER_SCORE = "imagegate.provider.score"
PROVIDER_COOLDOWN = "imagegate.provider.cooldown_seconds"
LIMITS_READABLE = "imagegate.limits.readable"

_DESCRIPTIONS: Mapping[str, tuple[str, str]] = {
    BUDGET_LIMIT: ("{USD}", "Dollar limits, by scope, project, model and window."),
    BUDGET_SETTLED: ("{USD}", "Dollars that were spent in the window, less credits."),
    BUDGET_HELD: ("{USD}", "Dollars that running calls hold."),
    BUDGET_UNKNOWN: ("{USD}", "Dollars that count since nobody knows whether they were spent."),
    LIMIT_USAGE: ("1", "Used share of every limit, by scope, project, model, measure and window."),
    PROVIDER_STATE: ("", "1 for the state that a target is in: closed, open, due, trying or cooling."),
    PROVIDER_SCORE: ("", "Share of a target's recent calls that gave pictures."),
    PROVIDER_COOLDOWN: ("", "Seconds for which a target has asked to be left alone."),
    LIMITS_READABLE: ("", "1 while the store of limits answers, 0 while it is away."),
}

Row = tuple[float, Mapping[str, str]]


class Board:
    """What one gateway shows, by metric; read while it is on show."""

    def __init__(self) -> None:
        self._rows: Mapping[str, Sequence[Row]] = {}

    def write(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """In place of everything that stood there."""
        self._rows = rows

    def read(self, name: str) -> Sequence[Row]:
        return self._rows.get(name, ())

    def show(self) -> None:
        _shown[id(self)] = self

    def hide(self) -> None:
        _shown.pop(id(self), None)


_shown: dict[int, Board] = {}


def _reading(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, attributes)
            for board in list(_shown.values())
            for value, attributes in board.read(name)
        ]

    return read


_meter = metrics.get_meter("imagegate", VERSION)
for _name, (_unit, _description) in _DESCRIPTIONS.items():
    _meter.create_observable_gauge(_name, [_reading(_name)], unit=_unit, description=_description)
