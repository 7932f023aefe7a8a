"""How a call becomes the keys and the JSON of a script; ``scripts/shared.lua`` reads them.

The client packs each argument by itself, which at ten limits would cost more than the server's work: so there
is one, and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.quota.holds import Amounts, Hold, Line, dump_lines
from gateway.quota.outcomes import End, OpenHold, Reservation
from gateway.quota.plan import Gate, Plan
from gateway.quota.terms import Kind

Call = list[Any]


class Keys:
    """The keys of one call, each declared once, and named in the call by their place."""

    def __init__(self, root: str, epoch: int) -> None:
        self._prefix = f"{root}{epoch}:"
        self.names = [f"{root}epoch", f"{self._prefix}leases", f"{self._prefix}unknown"]
        self._places: dict[str, int] = {}

    def place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            self.names.append(self._prefix + name)
            place = self._places[name] = len(self.names)
        return place

    def record(self, rid: str) -> int:
        return self.place(f"r:{rid}")

    def counters(self, lines: Iterable[Line]) -> list[int]:
        return [self.place(line.key) for line in lines]


Build = Callable[[Keys], Call]


def reserve(
    reservations: Sequence[Reservation], wanted: Plan, ended: Sequence[End], most_end_users: int, keys: Keys
) -> Call:
    wishes = [
        [keys.record(each.rid), each.rid, each.lease_ms, dump_lines(lines), keys.counters(lines)]
        for each, lines in zip(reservations, wanted.lines, strict=True)
    ]
    users = [keys.place("users"), wanted.end_users, most_end_users]
    return [wanted.at, standing(wanted.gates, keys), [_ended(end, keys) for end in ended], wishes, users]


def _ended(end: End, keys: Keys) -> Call:
    hold = end.hold
    return [
        keys.record(hold.rid),
        hold.rid,
        end.state,
        hold.admitted,
        hold.lease_ms,
        hold.text,
        keys.counters(hold.lines),
        _actual(hold.lines, end.actual),
        hold.epoch,
        end.sent,
    ]


def _actual(lines: Sequence[Line], actual: Amounts | None) -> list[int]:
    return [line.amount if actual is None else actual.get(line.measure, line.amount) for line in lines]


def finish(word: str, end: End, keys: Keys) -> Call:
    return [word, _ended(end, keys)]


def restore(word: str, each: OpenHold, keys: Keys) -> Call:
    return [word, _ended(End(each.hold, each.state), keys)]


def dispatch(hold: Hold, token: str, keys: Keys) -> Call:
    counters = keys.counters(hold.lines)
    return [keys.record(hold.rid), hold.rid, hold.lease_ms, hold.text, counters, token]


def heartbeat(hold: Hold, keys: Keys) -> Call:
    """The counters of concurrency are the keys after the record."""
    head = [keys.record(hold.rid), hold.rid, hold.lease_ms]
    keys.counters(line for line in hold.lines if line.kind is Kind.CONCURRENT)
    return head


def raise_sums(as_of: int, lines: Sequence[Line], keys: Keys) -> Call:
    return [as_of, dump_lines(tuple(lines)), keys.counters(lines)]


def credit(version: int, lines: Sequence[Line], keys: Keys) -> Call:
    return [version, keys.place("credits"), dump_lines(tuple(lines)), keys.counters(lines)]


def standing(gates: Sequence[Gate], keys: Keys) -> Call:
    rows = []
    for gate in gates:
        at, enforced, trial, kind = gate.spot, gate.enforced, gate.trial, gate.line.kind
        rows.append(
            [
                keys.place(gate.line.key),
                kind,
                -1 if enforced is None else enforced,
                -1 if trial is None else trial,
                at.start,
                at.end,
                at.slot if kind is Kind.ROLLING else "",
                at.param,
            ]
        )
    return rows


def find(rids: Sequence[str], keys: Keys) -> Call:
    for rid in rids:
        keys.record(rid)
    return []


def open_ids(number: int, keys: Keys) -> Call:
    return [number]


def nothing(keys: Keys) -> Call:
    return []
