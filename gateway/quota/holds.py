"""What an attempt holds, and the states it goes through.

::

    (none) ─ reserve ─▶ held ─ dispatch ─▶ dispatched ─ settle ─▶ settled
                         │                  │   │ release ─▶ released
                         │ release,         │
                         ▼ lease out        ▼ lease out, outcome unclear
                        released          unknown ─ settle ─▶ settled, or release ─▶ released

Where a line's amount sits in each state is one table (:func:`place`), which both stores follow: a move takes
the amount out of one place and puts it into the other. ``unknown`` counts against the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from gateway.quota.terms import Kind, Measure


class State(StrEnum):
    HELD = "held"
    DISPATCHED = "dispatched"
    UNKNOWN = "unknown"
    SETTLED = "settled"
    RELEASED = "released"

    @property
    def terminal(self) -> bool:
        return self in (State.SETTLED, State.RELEASED)


@dataclass(frozen=True, slots=True)
class Line:
    """One amount in one counter. ``slot`` is the window's id or the bucket's number; ``param`` a bucket's
    length in ms or a rate's limit per minute; ``expires`` ms since 1970 at which nobody will ask for that
    window any more, -1 for never."""

    counter: str
    kind: Kind
    measure: Measure
    amount: int
    slot: str
    param: int
    expires: int
    key: str = field(init=False, repr=False, compare=False)
    """The counter's name in a store."""

    def __post_init__(self) -> None:
        window = f":{self.slot}" if self.kind is Kind.WINDOW else ""
        object.__setattr__(self, "key", f"{self.kind.value}:{self.counter}{window}")


@dataclass(frozen=True, slots=True)
class Hold:
    """What one attempt has reserved. ``rid`` is ``{request_id}/{ordinal}``; ``admitted`` the moment of
    admission in ms by the store's clock, which decides the windows that every later amount goes to."""

    rid: str
    admitted: int
    lease_ms: int
    lines: tuple[Line, ...]
    epoch: int = 0
    """Which building of the counters it was taken from; 0: none, the store was away and the limits are open.
    The ledger refuses the intent row of an older epoch than its own (0 excepted): then no call is sent on the
    word of a server that has been replaced."""

    _text: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The lines as a store keeps them; made once, as every operation of a hold needs it."""
        if not self._text:
            self._text.append(dump_lines(self.lines))
        return self._text[0]

    def amount(self, measure: Measure) -> int:
        """What is held of a measure (the same in all its counters); 0 where no limit counts it."""
        return next((line.amount for line in self.lines if line.measure is measure), 0)

    def with_lines(self, lines: tuple[Line, ...]) -> Hold:
        return Hold(self.rid, self.admitted, self.lease_ms, lines, self.epoch)

    def in_epoch(self, epoch: int) -> Hold:
        return Hold(self.rid, self.admitted, self.lease_ms, self.lines, epoch)

    def dump(self) -> str:
        """As text, for the ledger's intent row; :func:`load` reads it."""
        return _dump([self.rid, self.admitted, self.lease_ms, self.epoch, _rows(self.lines)])


@dataclass(frozen=True, slots=True)
class DispatchedHold:
    """Leave to call the provider, given by ``QuotaStore.dispatch`` alone. A provider call takes one, so that
    no route can spend without it."""

    hold: Hold


def load(text: str | bytes) -> Hold:
    """The inverse of :meth:`Hold.dump`."""
    rid, admitted, lease_ms, epoch, rows = msgspec.json.decode(text)
    return Hold(rid, admitted, lease_ms, _lines(rows), epoch)


def dump_lines(lines: tuple[Line, ...]) -> str:
    return _dump(_rows(lines))


def load_lines(text: str | bytes) -> tuple[Line, ...]:
    return _lines(msgspec.json.decode(text))


def _dump(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _rows(lines: tuple[Line, ...]) -> list[list[Any]]:
    return [[x.counter, x.kind, x.measure, x.amount, x.slot, x.param, x.expires] for x in lines]


def _lines(rows: list[list[Any]]) -> tuple[Line, ...]:
    return tuple(Line(row[0], Kind(row[1]), Measure(row[2]), *row[3:]) for row in rows)


Amounts = Mapping[Measure, int]

SETTLED, HELD, UNKNOWN = "s", "h", "u"
"""The three places of a window's counter."""

_SETTLING = {State.HELD: HELD, State.DISPATCHED: HELD, State.UNKNOWN: UNKNOWN, State.SETTLED: SETTLED}
_COUNTED = {
    State.HELD: HELD,
    State.DISPATCHED: SETTLED,
    State.UNKNOWN: SETTLED,
    State.SETTLED: SETTLED,
}


def place(measure: Measure, state: State | None) -> str | None:
    """Where an amount in a window sits in ``state``; None: nowhere. Requests and images count for good from
    dispatch on."""
    if state is None:
        return None
    return (_SETTLING if measure.settles else _COUNTED).get(state)


ALLOWED: Mapping[State, frozenset[State]] = {
    State.DISPATCHED: frozenset({State.HELD}),
    State.SETTLED: frozenset({State.DISPATCHED, State.UNKNOWN}),
    State.RELEASED: frozenset({State.HELD, State.DISPATCHED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.HELD, State.DISPATCHED}),
}
"""From which states each state can be entered."""
