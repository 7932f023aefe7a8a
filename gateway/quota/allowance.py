"""A slice of a budget, reserved while the store answered, to be spent while it does not.

It is an ordinary hold on the very limits that it stands in for, so what is spent from it is inside them
already. It is spent for less time than it is held (SPENDABLE_MS of LEASE_MS): by then the drift check of any
replica has found the attempts in the ledger and taken them into the store, and the slice may lapse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.quota.holds import Hold, Line
from gateway.quota.outcomes import Admitted, Reservation
from gateway.quota.terms import Kind, Limit, Measure

LEASE_MS = 300_000
RENEW_MS = LEASE_MS // 2
SPENDABLE_MS = LEASE_MS - 120_000

LARGEST = 1_000_000_000
"""Nano-dollars: the most that one replica sets aside for one set of limits."""

SHARE = 100
"""… and at most this part (one in SHARE) of what is left of the tightest limit."""

MOST_SLICES = 1_000

Budget = frozenset[str]
"""The spend counters that a slice stands in for."""


@dataclass(slots=True)
class Slice:
    hold: Hold
    since: int
    """When it was asked for, by our own clock: before the store's lease began."""
    spent: dict[str, int] = field(default_factory=dict)
    """By attempt: what it holds or has cost."""

    @property
    def left(self) -> int:
        return self.hold.amount(Measure.SPEND) - sum(self.spent.values())


def spend_limits(reservations: Sequence[Reservation]) -> tuple[Limit, ...]:
    """The dollar limits in force over a call, each once."""
    found = [
        limit
        for each in reservations
        if Measure.SPEND in each.amounts
        for limit in each.limits
        if limit.measure is Measure.SPEND and not limit.shadow
    ]
    return tuple(dict.fromkeys(found))


def budget(limits: Sequence[Limit]) -> Budget:
    return frozenset(limit.counter for limit in limits)


class Allowances:
    """The slices of one replica. Pure bookkeeping: ``away.py`` reserves and releases them."""

    def __init__(self) -> None:
        self._slices: dict[Budget, Slice] = {}

    def wanted(self, limits: Sequence[Limit], admitted: Admitted, now: int) -> int:
        """How much to set aside for these limits now; 0: there is a slice, or too little is left."""
        if not limits or any(limit.kind is not Kind.WINDOW for limit in limits):
            return 0  # a rolling bucket is over before a slice could be of use
        current = self._slices.get(budget(limits))
        if current is not None and 0 <= now - current.since < RENEW_MS:
            return 0
        if current is None and len(self._slices) >= MOST_SLICES:
            return 0
        asked = set(limits)
        left = [standing.left for standing in admitted.standings if standing.limit in asked]
        return min(min(left, default=0) // SHARE, LARGEST)

    def put(self, limits: Sequence[Limit], hold: Hold, since: int) -> Slice | None:
        """Take over a new slice; returns the one that it replaces, to be released."""
        old = self._slices.get(budget(limits))
        self._slices[budget(limits)] = Slice(hold, since)
        return old

    def spend(self, rid: str, amount: int, lines: Sequence[Line], now: int) -> Slice | None:
        """Take ``amount`` for an attempt from the slice of the same counters and windows, if it has that."""
        held = [line for line in lines if line.measure is Measure.SPEND]
        found = self._slices.get(frozenset(line.counter for line in held))
        if found is None or not 0 <= now - found.since < SPENDABLE_MS or found.left < amount:
            return None
        if {line.key for line in held} != {line.key for line in found.hold.lines}:
            return None  # a window has ended since: the slice was taken from another one
        found.spent[rid] = amount
        return found

    def correct(self, rid: str, amount: int) -> None:
        """An attempt ended: it used ``amount`` of what it had taken."""
        for each in self._slices.values():
            if rid in each.spent:
                each.spent[rid] = amount

    def drain(self) -> list[Slice]:
        """Give up all slices: the store answers again and knows what they were spent on."""
        used = [key for key, each in self._slices.items() if each.spent]
        return [self._slices.pop(key) for key in used]

    def forget(self, now: int) -> None:
        """Drop slices whose lease is out; the store's reaper releases them."""
        for key in [key for key, each in self._slices.items() if now - each.since >= LEASE_MS]:
            del self._slices[key]
