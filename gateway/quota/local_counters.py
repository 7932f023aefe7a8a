"""The counters of the store in the process, a dictionary for each kind, and how an attempt's moves change
them. ``scripts/shared.lua`` does the same in Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.quota.holds import HELD, SETTLED, UNKNOWN, Amounts, Hold, Line, State, place
from gateway.quota.plan import NEVER, RATE_UNIT, Gate, Tally, decayed, free_at, refund, shadowed
from gateway.quota.store import SLACK_MS
from gateway.quota.terms import Kind
from gateway.quota.windows import BUCKETS


@dataclass(slots=True)
class Cell:
    """Sums of one window or one bucket, and what was given back in it."""

    expires: int
    credited: int = 0
    sums: dict[str, int] = field(default_factory=lambda: {SETTLED: 0, HELD: 0, UNKNOWN: 0})

    @property
    def total(self) -> int:
        return sum(self.sums.values()) - self.credited


class LocalCounters:
    """``windows`` and the buckets of ``rolling`` by key, ``rates`` as debt and its moment, ``running`` as the
    leases of attempts by key. All times in ms."""

    def __init__(self) -> None:
        self.windows: dict[str, Cell] = {}
        self.rolling: dict[str, dict[int, Cell]] = {}
        self.rates: dict[str, tuple[int, int]] = {}
        self.running: dict[str, dict[str, int]] = {}

    def tally(self, gate: Gate, now: int) -> Tally:
        """What the gate's counter says."""
        line = gate.line
        match line.kind:
            case Kind.WINDOW:
                cell = self.windows.get(line.key)
                if cell is None:
                    return Tally()
                return Tally(cell.sums[SETTLED] - cell.credited, cell.sums[HELD], cell.sums[UNKNOWN])
            case Kind.RATE:
                debt, since = self.rates.get(line.key, (0, now))
                return Tally(decayed(debt, since, now, line.param))
            case Kind.CONCURRENT:
                running = self.running.get(line.key, {})
                for rid in [rid for rid, lease in running.items() if lease <= now - SLACK_MS]:
                    del running[rid]
                return Tally(held=len(running))
            case Kind.ROLLING:
                return self._rolling_tally(gate)

    def _rolling_tally(self, gate: Gate) -> Tally:
        current = int(gate.spot.slot)
        kept = self.rolling.get(gate.line.key, {})
        for number in [number for number in kept if number < current - 2 * BUCKETS]:
            del kept[number]  # one window longer than it counts: the clock may be set back
        cells = {number: cell for number, cell in kept.items() if number >= current - BUCKETS}
        sums = {name: sum(cell.sums[name] for cell in cells.values()) for name in (SETTLED, HELD, UNKNOWN)}
        amount = gate.enforced if gate.enforced is not None else gate.trial
        totals = {number: cell.total for number, cell in cells.items()}
        frees = NEVER if amount is None else free_at(totals, gate.spot.param, gate.need, amount)
        credited = sum(cell.credited for cell in cells.values())
        return Tally(sums[SETTLED] - credited, sums[HELD], sums[UNKNOWN], frees)

    def cell(self, line: Line) -> Cell:
        """The window's or the bucket's, made where there is none yet."""
        if line.kind is Kind.ROLLING:
            return self.rolling.setdefault(line.key, {}).setdefault(int(line.slot), Cell(line.expires))
        cell = self.windows.get(line.key)
        if cell is None:
            cell = self.windows[line.key] = Cell(line.expires)
        return cell

    def hold(self, hold: Hold, lease: int) -> None:
        """A new attempt takes what it holds; of rates :meth:`pay`."""
        self.keep_running(hold, lease)
        for line in hold.lines:
            if line.kind in (Kind.WINDOW, Kind.ROLLING):
                self._add(line, HELD, line.amount)

    def pay(self, gates: Sequence[Gate], tallies: Sequence[Tally], now: int) -> None:
        """Take what is needed of rates, once for all attempts of a call."""
        for gate, tally in zip(gates, tallies, strict=True):
            if gate.line.kind is Kind.RATE and gate.need:
                # A rate on trial that would have refused takes nothing: it shows what the limit would do.
                debt = tally.settled if shadowed(gate, tally) else tally.settled + gate.need * RATE_UNIT
                self.rates[gate.line.key] = (debt, now)

    def keep_running(self, hold: Hold, lease: int) -> None:
        """The attempt has its place until ``lease``, and after it until it is reaped."""
        for line in hold.lines:
            if line.kind is Kind.CONCURRENT:
                self.running.setdefault(line.key, {})[hold.rid] = lease

    def put(self, lines: Sequence[Line], state: State, actual: Amounts) -> None:
        """What an attempt that was never seen counts in ``state``, rates and concurrency left out."""
        for line in lines:
            if line.kind in (Kind.WINDOW, Kind.ROLLING) and (where := place(line.measure, state)):
                self._add(line, where, _settled_at(line, state, actual))

    def move(
        self, hold: Hold, before: State, to: State, actual: Amounts, now: int, *, sent: bool = True
    ) -> None:
        """An attempt goes from one state into another. ``sent`` as in :class:`gateway.quota.outcomes.End`."""
        for line in hold.lines:
            if line.kind is Kind.CONCURRENT:
                if to is not State.DISPATCHED:
                    self.running.get(line.key, {}).pop(hold.rid, None)
            elif line.kind is Kind.RATE:
                unspent = before is State.HELD or not sent
                self._correct_rate(line, unspent, to, _settled_at(line, to, actual), hold.admitted, now)
            elif not sent or place(line.measure, before) != SETTLED:
                # A request or an image that was dispatched stays counted.
                self._shift(line, place(line.measure, before), to, _settled_at(line, to, actual))

    def _shift(self, line: Line, before: str | None, to: State, amount: int) -> None:
        if before is not None:
            self._add(line, before, -line.amount)
        after = place(line.measure, to)
        if after is not None:
            self._add(line, after, amount)

    def _correct_rate(
        self, line: Line, unspent: bool, to: State, amount: int, admitted: int, now: int
    ) -> None:
        """What was not used goes back as far as it cannot have decayed; what was used beyond comes on top."""
        if to is State.RELEASED:
            unused = line.amount if unspent or line.measure.settles else 0
        elif to is State.SETTLED:
            unused = line.amount - amount
        else:
            return
        if unused == 0 or (unused > 0 and line.counter.endswith("|shadow")):
            return
        debt, since = self.rates.get(line.key, (0, now))
        debt = decayed(debt, since, now, line.param)
        if unused > 0:
            debt = max(debt - refund(unused, admitted, now, line.param), 0)
        else:
            debt -= unused * RATE_UNIT
        self.rates[line.key] = (debt, now)

    def _add(self, line: Line, where: str, amount: int) -> None:
        sums = self.cell(line).sums
        sums[where] = max(sums[where] + amount, 0)

    def prune(self, now: int) -> None:
        """Forget windows long past and what is empty."""
        for key in [key for key, cell in self.windows.items() if NEVER < cell.expires <= now]:
            del self.windows[key]
        for key in [key for key, cells in self.rolling.items() if not cells]:
            del self.rolling[key]
        for key in [key for key, running in self.running.items() if not running]:
            del self.running[key]


def _settled_at(line: Line, to: State, actual: Amounts) -> int:
    """What a line weighs in its next state."""
    if to is State.SETTLED and line.measure.settles:
        return actual.get(line.measure, line.amount)
    return line.amount
