"""How a call becomes the keys and arguments of a script.

A line travels as eight arguments (place of its key, kind, settles?, amount, bucket, param, expires, amount to
settle at), a gate as eight as well; ``scripts/shared.lua`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.quota.holds import Amounts, Hold, Line, dump_lines
from gateway.quota.outcomes import End, OpenHold, Reservation
from gateway.quota.plan import Gate, Plan
from gateway.quota.terms import Kind


class Keys:
    """The keys of one call, each declared once, and arguments that name them by their place."""

    def __init__(self, root: str, epoch: int) -> None:
        self._prefix = f"{root}{epoch}:"
        self.names = [f"{root}epoch", f"{self._prefix}leases", f"{self._prefix}unknown"]
        self._places: dict[str, int] = {}

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            self.names.append(self._prefix + name)
            place = self._places[name] = len(self.names)
        return place

    def record(self, rid: str) -> int:
        return self._place(f"r:{rid}")

    def counter(self, line: Line) -> int:
        return self._place(line.key)

    def lines(self, lines: Sequence[Line], actual: Amounts) -> list[str | int]:
        arguments: list[str | int] = [len(lines)]
        for line in lines:
            arguments += (
                self.counter(line),
                line.kind.value,
                1 if line.measure.settles else 0,
                line.amount,
                line.slot if line.kind is Kind.ROLLING else "",
                line.param,
                line.expires,
                actual.get(line.measure, line.amount),
            )
        return arguments

    def gates(self, gates: Sequence[Gate]) -> list[str | int]:
        arguments: list[str | int] = [len(gates)]
        for gate in gates:
            at, enforced, trial = gate.spot, gate.enforced, gate.trial
            arguments += (
                self.counter(gate.line),
                gate.line.kind.value,
                -1 if enforced is None else enforced,
                -1 if trial is None else trial,
                at.start,
                at.end,
                at.slot if gate.line.kind is Kind.ROLLING else "",
                at.param,
            )
        return arguments


Arguments = list[str | int]
Build = Callable[[Keys], Arguments]


def reserve(reservations: Sequence[Reservation], wanted: Plan, ended: Sequence[End], keys: Keys) -> Arguments:
    arguments: Arguments = [wanted.at, *keys.gates(wanted.gates), len(ended)]
    for end in ended:
        arguments += _ended(end, keys)
    arguments.append(len(reservations))
    for each, lines in zip(reservations, wanted.lines, strict=True):
        arguments += [keys.record(each.rid), each.rid, each.lease_ms, dump_lines(lines)]
        arguments += keys.lines(lines, {})
    return arguments


def _ended(end: End, keys: Keys) -> Arguments:
    hold = end.hold
    head: Arguments = [keys.record(hold.rid), hold.rid, end.state.value]
    head += [hold.admitted, hold.lease_ms, dump_lines(hold.lines)]
    return head + keys.lines(hold.lines, end.actual or {})


def finish(word: str, end: End, keys: Keys) -> Arguments:
    return [word, *_ended(end, keys)]


def restore(word: str, each: OpenHold, keys: Keys) -> Arguments:
    return [word, *_ended(End(each.hold, each.state), keys)]


def dispatch(hold: Hold, token: str, keys: Keys) -> Arguments:
    head: Arguments = [keys.record(hold.rid), hold.rid, hold.lease_ms, dump_lines(hold.lines), token]
    return head + keys.lines(hold.lines, {})


def heartbeat(hold: Hold, keys: Keys) -> Arguments:
    head: Arguments = [keys.record(hold.rid), hold.rid, hold.lease_ms]
    for line in hold.lines:
        if line.kind is Kind.CONCURRENT:
            keys.counter(line)
    return head


def raise_sums(as_of: int, lines: Sequence[Line], keys: Keys) -> Arguments:
    return [as_of, *keys.lines(lines, {})]


def standing(gates: Sequence[Gate], keys: Keys) -> Arguments:
    return keys.gates(gates)


def find(rids: Sequence[str], keys: Keys) -> Arguments:
    for rid in rids:
        keys.record(rid)
    return []


def open_ids(number: int, keys: Keys) -> Arguments:
    return [number]


def claim(token: str, ms: int, keys: Keys) -> Arguments:
    keys.names.append(keys.names[0] + ":building")
    return [token, ms]


def nothing(keys: Keys) -> Arguments:
    return []
