"""Metrics of how things stand: looked at when somebody reads them, and costing nothing otherwise.

A gateway keeps a :class:`Board` and writes on it before each reading; readers run in threads of their own and
see the last complete writing of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from gateway.telemetry.resource import SCHEMA
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
RETRY_SPEND = "imagegate.retry.spend"
CONFIG_INFO = "imagegate.config.info"
CONFIG_APPLIED_AT = "imagegate.config.applied_at"
CONFIG_REFUSED = "imagegate.config.refused"
CONFIG_RESTART_PENDING = "imagegate.config.restart_pending"

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
    RETRY_SPEND: ("1", "Used share of what may be spent on repeating calls, of routing.retry_spend."),
    CONFIG_INFO: ("", "1, with the digest of the configuration in force and the gateway's version."),
    CONFIG_APPLIED_AT: ("s", "When the configuration in force was applied, in seconds since 1970."),
    CONFIG_REFUSED: ("", "1 while the files' newest state is refused and an older one is in force, else 0."),
    CONFIG_RESTART_PENDING: ("", "Settings whose new value waits for a restart."),
}

NAMES = frozenset(_DESCRIPTIONS)
"""Of all of them."""

Row = tuple[float, Mapping[str, str]]


class Board:
    """What one gateway shows, by metric; read while it is on show. Each part has one hand that writes it."""

    def __init__(self) -> None:
        self._parts: dict[str, Mapping[str, Sequence[Row]]] = {}

    def write(self, part: str, rows: Mapping[str, Sequence[Row]]) -> None:
        """In place of everything that stood in this part."""
        self._parts[part] = rows

    def config_stands(
        self, *, version: str, digest: str, applied_at: float, refused: bool, pending: int
    ) -> None:
        """Which configuration is in force: ``version`` is the gateway's, ``digest`` names the configuration
        without telling it, ``applied_at`` is in seconds since 1970; ``refused``: its files now say something
        that cannot be served; ``pending``: how many settings wait for a restart."""
        self.write(
            "config",
            {
                CONFIG_INFO: [(1, {"digest": digest, "version": version})],
                CONFIG_APPLIED_AT: [(applied_at, {})],
                CONFIG_REFUSED: [(int(refused), {})],
                CONFIG_RESTART_PENDING: [(pending, {})],
            },
        )

    def read(self, name: str) -> Sequence[Row]:
        return [row for rows in list(self._parts.values()) for row in rows.get(name, ())]

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


_meter = metrics.get_meter("imagegate", VERSION, schema_url=SCHEMA)
for _name, (_unit, _description) in _DESCRIPTIONS.items():
    _meter.create_observable_gauge(_name, [_reading(_name)], unit=_unit, description=_description)
