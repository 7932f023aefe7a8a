"""From limits and amounts to counters and lines, and from counters' states to bindings. Pure.

A reservation of ten limits may touch one counter several times (two thresholds, one of them in shadow): it
takes from that counter once, and every threshold is judged on it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.quota.holds import Line
from gateway.quota.outcomes import Binding, Reservation, Standing, Sums
from gateway.quota.terms import MAX_AMOUNT, Kind, Limit, Measure
from gateway.quota.windows import BUCKETS, ROLLING_MS, Calendar, from_ms, rolling_bucket, to_ms

RETENTION_MS = 3_600_000
"""How long after its end a window's counter is kept at least; a longer window's, for its own length."""

RATE_UNIT = 60_000
"""A rate's debt is kept in amounts × ms per minute: it decays by the limit each ms, in whole numbers."""

NEVER = -1


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a limit counts at one instant. ``start`` and ``end`` (ms, NEVER for no end) are the time for
    which this is the right window or bucket; rates and concurrency have none."""

    slot: str
    start: int
    end: int
    param: int
    expires: int


@dataclass(slots=True)
class Gate:
    """One counter of a call: what is needed of it, and the thresholds over it. ``enforced`` is the lowest
    that refuses and ``trial`` the lowest in shadow; None: there is none."""

    line: Line
    spot: Spot
    need: int = 0
    limits: list[Limit] = field(default_factory=list)

    @property
    def enforced(self) -> int | None:
        return min((limit.amount for limit in self.limits if not limit.shadow), default=None)

    @property
    def trial(self) -> int | None:
        return min((limit.amount for limit in self.limits if limit.shadow), default=None)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a counter says before anything is taken. ``settled`` of a rate is its debt in RATE_UNITs, of
    ``concurrent`` 0. ``free_at``: when a rolling window has room for what is needed, ms, or NEVER."""

    settled: int = 0
    held: int = 0
    unknown: int = 0
    free_at: int = NEVER


@dataclass(frozen=True, slots=True)
class Plan:
    at: int
    gates: tuple[Gate, ...]
    lines: tuple[tuple[Line, ...], ...]
    """Per reservation."""
    end_users: tuple[str, ...]
    """Whose counters the call would make, if there are none yet."""


def spot(limit: Limit, calendar: Calendar, at: datetime) -> Spot:
    """Where ``limit`` counts at ``at``."""
    match limit.kind:
        case Kind.WINDOW:
            window = calendar.window(limit.per or "total", at)
            if window.end is None:
                return Spot(window.id, to_ms(window.start), NEVER, 0, NEVER)
            start, end = to_ms(window.start), to_ms(window.end)
            return Spot(window.id, start, end, 0, end + max(end - start, RETENTION_MS))
        case Kind.ROLLING:
            per = limit.per or "total"
            bucket = rolling_bucket(per, at)
            start, length = to_ms(bucket.start), ROLLING_MS[per]
            size = length // BUCKETS
            return Spot(bucket.id, start, start + size, size, start + 2 * length + RETENTION_MS)
        case Kind.RATE:
            return Spot("", 0, NEVER, limit.amount, NEVER)
        case Kind.CONCURRENT:
            return Spot("", 0, NEVER, 0, NEVER)


def probe(limit: Limit, calendar: Calendar, at: datetime) -> Gate:
    """What is asked of a store to learn where ``limit`` stands: nothing is needed of it."""
    where = spot(limit, calendar, at)
    return Gate(_line(limit, 0, where), where, limits=[limit])


def line(limit: Limit, amount: int, calendar: Calendar, at: datetime) -> Line:
    """``amount`` in the window of ``limit`` at ``at``: how the ledger's sums are told to a store."""
    return _line(limit, amount, spot(limit, calendar, at))


def _line(limit: Limit, amount: int, at: Spot) -> Line:
    return Line(limit.counter, limit.kind, limit.measure, amount, at.slot, at.param, at.expires)


def merged(sums: Sums) -> list[Line]:
    """One line per counter and window. Rates and concurrency have no sums."""
    totals: dict[tuple[str, str], Line] = {}
    for each in sums:
        if each.kind in (Kind.WINDOW, Kind.ROLLING):
            known = totals.get((each.key, each.slot))
            amount = each.amount if known is None else known.amount + each.amount
            totals[each.key, each.slot] = replace(each, amount=amount)
    return list(totals.values())


def plan(
    reservations: Sequence[Reservation], calendar: Calendar, at: int, known: Container[str] = ()
) -> Plan:
    """``known`` ids have taken before and need nothing now. Raises ValueError for amounts that cannot be
    counted exactly."""
    moment = from_ms(at)
    gates: dict[str, Gate] = {}
    lines = []
    for reservation in reservations:
        took = _take(reservation, calendar, moment, gates)
        lines.append(took)
        if reservation.rid not in known:
            for each in took:
                gates[each.key].need += each.amount
    users = {
        limit.scope.owner: None for each in reservations for limit in each.limits if limit.scope.is_end_user
    }
    return Plan(at, tuple(gates.values()), tuple(lines), tuple(users))


def _take(
    reservation: Reservation, calendar: Calendar, moment: datetime, gates: dict[str, Gate]
) -> tuple[Line, ...]:
    lines: dict[str, Line] = {}
    for limit in reservation.limits:
        amount = reservation.amounts.get(limit.measure, 1 if limit.measure is Measure.CONCURRENT else None)
        if amount is None:
            continue
        if not 0 <= amount <= MAX_AMOUNT:
            raise ValueError(f"an amount is between 0 and {MAX_AMOUNT}, not {amount}")
        at = spot(limit, calendar, moment)
        taken = _line(limit, amount, at)
        key = taken.key
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = Gate(taken, at)
        if key not in lines or (limit.kind is Kind.RATE and at.param < lines[key].param):
            lines[key] = taken
        if limit.kind is Kind.RATE and at.param < gate.spot.param:
            gate.line, gate.spot = taken, at
        if limit not in gate.limits:
            gate.limits.append(limit)
    return tuple(lines.values())


def refuses(gate: Gate, tally: Tally) -> bool:
    """Whether a limit in force has no room for what is needed."""
    return gate.enforced is not None and _over(gate, gate.enforced, tally)


def shadowed(gate: Gate, tally: Tally) -> bool:
    """Whether a limit on trial has no room."""
    return gate.trial is not None and _over(gate, gate.trial, tally)


def _over(gate: Gate, amount: int, tally: Tally) -> bool:
    if gate.need == 0:
        return False
    if gate.line.kind is Kind.RATE:
        return tally.settled + gate.need * RATE_UNIT > amount * RATE_UNIT
    return tally.settled + tally.held + tally.unknown + gate.need > amount


def bindings(
    gates: Sequence[Gate], tallies: Sequence[Tally], now: int, *, shadow: bool
) -> tuple[Binding, ...]:
    """All limits (in shadow, or in force) that have no room, in the order of the gates."""
    found = []
    for gate, tally in zip(gates, tallies, strict=True):
        for limit in gate.limits:
            if limit.shadow is shadow and _over(gate, limit.amount, tally):
                where = standing(limit, gate.spot, tally, now)
                found.append(Binding(where, gate.need, _retry_after(gate, limit, tally, where, now)))
    return tuple(found)


def _retry_after(gate: Gate, limit: Limit, tally: Tally, where: Standing, now: int) -> int | None:
    if gate.need > limit.amount:
        return None
    match limit.kind:
        case Kind.RATE:
            excess = tally.settled + (gate.need - limit.amount) * RATE_UNIT
            return -(-excess // limit.amount)
        case Kind.ROLLING:
            return None if tally.free_at == NEVER else max(tally.free_at - now, 0)
        case Kind.WINDOW:
            return None if where.resets_at is None else max(to_ms(where.resets_at) - now, 0)
        case Kind.CONCURRENT:
            return None


def standing(limit: Limit, at: Spot, tally: Tally, now: int) -> Standing:
    match limit.kind:
        case Kind.RATE:
            full = from_ms(now - (-tally.settled // limit.amount)) if tally.settled else from_ms(now)
            return Standing(limit, "", -(-tally.settled // RATE_UNIT), 0, 0, full)
        case Kind.CONCURRENT:
            return Standing(limit, "", 0, tally.held, 0, None)
        case Kind.ROLLING:
            resets = None if tally.free_at == NEVER else from_ms(tally.free_at)
            return Standing(limit, at.slot, tally.settled, tally.held, tally.unknown, resets)
        case Kind.WINDOW:
            resets = None if at.end == NEVER else from_ms(at.end)
            return Standing(limit, at.slot, tally.settled, tally.held, tally.unknown, resets)


def standings(gates: Sequence[Gate], tallies: Sequence[Tally], now: int) -> tuple[Standing, ...]:
    """Of every limit, in the order of the gates."""
    pairs = zip(gates, tallies, strict=True)
    return tuple(standing(limit, gate.spot, tally, now) for gate, tally in pairs for limit in gate.limits)


def taken(gate: Gate, tally: Tally) -> Tally:
    """The tally after what is needed was taken."""
    if gate.line.kind is Kind.RATE:
        return Tally(tally.settled + gate.need * RATE_UNIT, free_at=tally.free_at)
    return Tally(tally.settled, tally.held + gate.need, tally.unknown, tally.free_at)


def decayed(debt: int, since: int, now: int, rate: int) -> int:
    """A rate's debt at ``now``. A clock that went back forgives nothing."""
    return max(debt - rate * max(now - since, 0), 0)


def refund(amount: int, admitted: int, now: int, rate: int) -> int:
    """How much debt an amount that was not used may give back: what cannot have decayed since.

    The debt with and without the amount differ by it at first, and the difference shrinks by at most the rate
    each ms; giving back more would allow more than the limit within a minute.
    """
    return max(amount * RATE_UNIT - rate * max(now - admitted, 0), 0)


def free_at(totals: Mapping[int, int], size: int, need: int, amount: int) -> int:
    """When enough buckets (number -> amount) have left a rolling window for ``need`` to fit, ms, or NEVER."""
    used = sum(totals.values())
    if used + need <= amount:
        return NEVER
    for number in sorted(totals):
        used -= totals[number]
        if used + need <= amount:
            return (number + BUCKETS + 1) * size
    return NEVER
