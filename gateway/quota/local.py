"""The store in the process: plain dictionaries, for one replica, rebuilt from the ledger at every start.

Nothing awaits between a check and its take, so that each operation is one step on the event loop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.quota.errors import HoldLost, Rebuilding, TooManyEndUsers
from gateway.quota.holds import (
    ALLOWED,
    HELD,
    SETTLED,
    UNKNOWN,
    Amounts,
    DispatchedHold,
    Hold,
    Line,
    State,
    place,
)
from gateway.quota.outcomes import (
    REAP_BATCH,
    Admitted,
    Credits,
    Drift,
    End,
    Epoch,
    Moved,
    OpenHold,
    OpenIds,
    Refused,
    Reservation,
    Standing,
    Sums,
)
from gateway.quota.plan import (
    NEVER,
    RATE_UNIT,
    Gate,
    Tally,
    bindings,
    decayed,
    free_at,
    merged,
    plan,
    refund,
    refuses,
    shadowed,
    spot,
    standing,
    standings,
    taken,
)
from gateway.quota.store import END_USER_MS, KEEP_MS, MOST_END_USERS, SKEW_MS, Judge
from gateway.quota.terms import Kind, Limit
from gateway.quota.windows import BUCKETS, Calendar, from_ms

PRUNE_MS = 60_000

SLACK_MS = 60_000
"""How long a lapsed lease of concurrency is kept without counting: the clock may be set back."""


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Record:
    state: State
    hold: Hold
    lease: int
    """When it runs out, ms; only of ``held`` and ``dispatched``."""


@dataclass(slots=True)
class _Cell:
    """Sums of one window or one bucket, and what was given back in it."""

    expires: int
    credited: int = 0
    sums: dict[str, int] = field(default_factory=lambda: {SETTLED: 0, HELD: 0, UNKNOWN: 0})

    @property
    def total(self) -> int:
        return sum(self.sums.values()) - self.credited


class LocalQuotaStore:
    """:class:`gateway.quota.store.QuotaStore` in memory. Cold until the first ``rebuild``."""

    def __init__(
        self,
        calendar: Calendar | None = None,
        *,
        clock: Callable[[], int] = wall_clock,
        most_end_users: int = MOST_END_USERS,
    ) -> None:
        self.calendar = calendar or Calendar()
        self._most_end_users = most_end_users
        self._clock = clock
        self._epoch: Epoch | None = None
        self._clear()

    def _clear(self) -> None:
        self._windows: dict[str, _Cell] = {}
        self._rolling: dict[str, dict[int, _Cell]] = {}
        self._rates: dict[str, tuple[int, int]] = {}
        self._running: dict[str, dict[str, int]] = {}
        self._records: dict[str, _Record] = {}
        self._users: dict[str, int] = {}
        self._ended: deque[tuple[int, str]] = deque()
        self._horizon = 0
        self._pruned = 0
        self._credits = 0

    async def start(self) -> None:
        """Nothing to check: the process keeps its own memory."""

    async def aclose(self) -> None:
        self._epoch = None

    async def reserve(
        self, reservations: Sequence[Reservation], ended: Sequence[End] = ()
    ) -> Admitted | Refused:
        now = self._warm()
        for end in ended:
            self._end(end, now)
        wanted = plan(reservations, self.calendar, now, self._records)
        self._make_room(wanted.end_users, now)
        tallies = [self._tally(gate, now) for gate in wanted.gates]
        on_trial = bindings(wanted.gates, tallies, now, shadow=True)
        if any(refuses(gate, tally) for gate, tally in zip(wanted.gates, tallies, strict=True)):
            return Refused(
                bindings(wanted.gates, tallies, now, shadow=False),
                standings(wanted.gates, tallies, now),
                on_trial,
            )
        self._users.update(dict.fromkeys(wanted.end_users, now))
        duplicate = False
        for each, lines in zip(reservations, wanted.lines, strict=True):
            if each.rid in self._records:
                duplicate = True
                continue
            hold = Hold(each.rid, now, each.lease_ms, lines, self._number)
            self._records[each.rid] = _Record(State.HELD, hold, now + each.lease_ms)
            for line in lines:
                if line.kind is Kind.CONCURRENT:
                    self._running.setdefault(line.key, {})[each.rid] = now + each.lease_ms
                elif line.kind is not Kind.RATE:
                    self._add(line, HELD, line.amount)
        for gate, tally in zip(wanted.gates, tallies, strict=True):
            if gate.line.kind is Kind.RATE and gate.need:
                # A rate on trial that would have refused takes nothing: it shows what the limit would do.
                debt = tally.settled if shadowed(gate, tally) else tally.settled + gate.need * RATE_UNIT
                self._rates[gate.line.key] = (debt, now)
        self._prune(now)
        return Admitted(
            tuple(self._records[each.rid].hold for each in reservations),
            standings(wanted.gates, [taken(g, t) for g, t in zip(wanted.gates, tallies, strict=True)], now),
            on_trial,
            duplicate,
        )

    async def dispatch(self, hold: Hold) -> DispatchedHold:
        now = self._warm()
        record = self._records.get(hold.rid)
        if record is None or record.state not in ALLOWED[State.DISPATCHED]:
            raise HoldLost(hold.rid, record.state if record else None)
        self._move(record, State.DISPATCHED, {}, now)
        self._extend(record, now)
        return DispatchedHold(record.hold)

    async def settle(self, hold: Hold, actual: Amounts) -> Moved:
        return self._end(End(hold, State.SETTLED, actual), self._warm())

    async def release(self, hold: Hold) -> Moved:
        return self._end(End(hold, State.RELEASED), self._warm())

    async def unknown(self, hold: Hold) -> Moved:
        return self._end(End(hold, State.UNKNOWN), self._warm())

    async def end(self, ends: Sequence[End], *, by_ledger: bool = True) -> Sequence[Moved]:
        now = self._warm()
        return [self._end(end, now, by_ledger=by_ledger) for end in ends]

    async def heartbeat(self, holds: Sequence[Hold]) -> Sequence[str]:
        now = self._warm()
        lost = []
        for hold in holds:
            record = self._records.get(hold.rid)
            if record is None or record.state not in (State.HELD, State.DISPATCHED):
                lost.append(hold.rid)
            else:
                self._extend(record, now)
        return lost

    async def reap(self, judge: Judge, batch: int = REAP_BATCH) -> Sequence[Moved]:
        now = self._warm()
        lapsed = [rid for rid, record in self._records.items() if self._lapsed(record, now)][:batch]
        verdicts = await judge(lapsed) if lapsed else {}
        now = self._warm()
        moved = []
        for rid in lapsed:
            # While the ledger was asked, the owner may have come back or another task have reaped.
            record = self._records.get(rid)
            if record is None or not self._lapsed(record, now):
                continue
            verdict = verdicts.get(rid)
            if verdict is not None and verdict.state.terminal:
                end = End(record.hold, verdict.state, verdict.actual)
                moved.append(self._end(end, now, by_ledger=True))
            elif verdict is None and record.state is State.HELD:
                moved.append(self._end(End(record.hold, State.RELEASED), now))
            else:
                moved.append(self._end(End(record.hold, State.UNKNOWN), now))
        return moved

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        now = self._warm()
        found = []
        for limit in limits:
            at = spot(limit, self.calendar, from_ms(now))
            line = Line(limit.counter, limit.kind, limit.measure, 0, at.slot, at.param, at.expires)
            found.append(standing(limit, at, self._tally(Gate(line, at, limits=[limit]), now), now))
        return found

    async def open_ids(self) -> OpenIds:
        now = self._warm()
        return OpenIds(now, tuple(rid for rid, x in self._records.items() if not x.state.terminal))

    async def find(self, rids: Sequence[str]) -> Mapping[str, Hold]:
        self._warm()
        found = {rid: self._records[rid] for rid in rids if rid in self._records}
        return {rid: record.hold for rid, record in found.items() if not record.state.terminal}

    async def raise_to(self, sums: Sums, as_of: int) -> Sequence[Drift]:
        self._warm()
        drifts = []
        for line in merged(sums):
            cell = self._cell(line)
            counter = cell.sums[SETTLED]
            if counter != line.amount:
                drifts.append(Drift(line, counter, raised=counter < line.amount))
                cell.sums[SETTLED] = max(counter, line.amount)
        self._horizon = max(self._horizon, as_of)
        return drifts

    async def credit(self, credits: Credits) -> None:
        self._warm()
        if credits.version < self._credits:
            return
        for line in merged(credits.lines):
            self._cell(line).credited = line.amount
        self._credits = credits.version

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        now = self._warm()
        unseen = [each for each in open_holds if each.hold.rid not in self._records]
        for each in unseen:
            self._restore(each, now)
        return [each.hold.rid for each in unseen]

    async def identity(self) -> str | None:
        return None

    async def claim(self) -> bool:
        return True

    async def freeze(self, epoch: Epoch) -> None:
        self._epoch = None

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        now = self._clock()
        self._clear()
        for line in merged(sums):
            self._cell(line).sums[SETTLED] = line.amount
        self._epoch = epoch
        for each in open_holds:
            self._restore(each, now)
        self._horizon = now + SKEW_MS

    @property
    def _number(self) -> int:
        return self._epoch.number if self._epoch else 0

    def _warm(self) -> int:
        """Now, if the counters can be believed."""
        if self._epoch is None:
            raise Rebuilding
        return self._clock()

    def _lapsed(self, record: _Record, now: int) -> bool:
        return record.state in (State.HELD, State.DISPATCHED) and record.lease <= now

    def _extend(self, record: _Record, now: int) -> None:
        record.lease = now + record.hold.lease_ms
        for line in record.hold.lines:
            if line.kind is Kind.CONCURRENT:
                self._running.setdefault(line.key, {})[record.hold.rid] = record.lease

    def _end(self, end: End, now: int, *, by_ledger: bool = False) -> Moved:
        rid = end.hold.rid
        record = self._records.get(rid)
        if record is None:
            return self._end_unseen(end, now)
        before = record.state
        if by_ledger and before is State.HELD and end.state is State.SETTLED:
            self._move(record, State.DISPATCHED, {}, now)
        if record.state not in ALLOWED[end.state]:
            return Moved(rid, before, before, applied=False)
        self._move(record, end.state, end.actual or {}, now)
        return Moved(rid, before, end.state, applied=True)

    def _end_unseen(self, end: End, now: int) -> Moved:
        rid = end.hold.rid
        older = 0 < end.hold.epoch < self._number
        admitted = end.hold.admitted
        if older or admitted < self._horizon or admitted <= now - KEEP_MS:
            return Moved(rid, None, None, applied=False)
        self._records[rid] = _Record(end.state, end.hold, now)
        for line in end.hold.lines:
            if line.kind in (Kind.WINDOW, Kind.ROLLING) and (where := place(line.measure, end.state)):
                self._add(line, where, _settled_at(line, end.state, end.actual or {}))
        if end.state.terminal:
            self._ended.append((now, rid))
        return Moved(rid, None, end.state, applied=True)

    def _move(self, record: _Record, to: State, actual: Amounts, now: int) -> None:
        before, record.state = record.state, to
        for line in record.hold.lines:
            if line.kind is Kind.CONCURRENT:
                if to is not State.DISPATCHED:
                    self._running.get(line.key, {}).pop(record.hold.rid, None)
            elif line.kind is Kind.RATE:
                self._correct_rate(line, before, to, _settled_at(line, to, actual), record.hold.admitted, now)
            else:
                self._shift(line, place(line.measure, before), to, _settled_at(line, to, actual))
        if to.terminal:
            self._ended.append((now, record.hold.rid))

    def _restore(self, each: OpenHold, now: int) -> None:
        hold = each.hold.in_epoch(self._number)
        record = self._records[hold.rid] = _Record(each.state, hold, now + hold.lease_ms)
        for line in hold.lines:
            if line.kind is Kind.CONCURRENT:
                if each.state is State.DISPATCHED:
                    self._running.setdefault(line.key, {})[hold.rid] = record.lease
            elif line.kind is not Kind.RATE and (where := place(line.measure, each.state)):
                self._add(line, where, line.amount)

    def _shift(self, line: Line, before: str | None, to: State, amount: int) -> None:
        if before == SETTLED:
            return
        if before is not None:
            self._add(line, before, -line.amount)
        after = place(line.measure, to)
        if after is not None:
            self._add(line, after, amount)

    def _correct_rate(
        self, line: Line, before: State, to: State, amount: int, admitted: int, now: int
    ) -> None:
        """What was not used goes back as far as it cannot have decayed; what was used beyond comes on top."""
        if to is State.RELEASED:
            unused = line.amount if before is State.HELD or line.measure.settles else 0
        elif to is State.SETTLED:
            unused = line.amount - amount
        else:
            return
        if unused == 0 or (unused > 0 and line.counter.endswith("|shadow")):
            return
        debt, since = self._rates.get(line.key, (0, now))
        debt = decayed(debt, since, now, line.param)
        if unused > 0:
            debt = max(debt - refund(unused, admitted, now, line.param), 0)
        else:
            debt -= unused * RATE_UNIT
        self._rates[line.key] = (debt, now)

    def _tally(self, gate: Gate, now: int) -> Tally:
        line = gate.line
        match line.kind:
            case Kind.WINDOW:
                cell = self._windows.get(line.key)
                if cell is None:
                    return Tally()
                return Tally(cell.sums[SETTLED] - cell.credited, cell.sums[HELD], cell.sums[UNKNOWN])
            case Kind.RATE:
                debt, since = self._rates.get(line.key, (0, now))
                return Tally(decayed(debt, since, now, line.param))
            case Kind.CONCURRENT:
                running = self._running.get(line.key, {})
                for rid in [rid for rid, lease in running.items() if lease <= now - SLACK_MS]:
                    del running[rid]
                return Tally(held=sum(lease > now for lease in running.values()))
            case Kind.ROLLING:
                return self._rolling_tally(gate)

    def _rolling_tally(self, gate: Gate) -> Tally:
        current = int(gate.spot.slot)
        kept = self._rolling.get(gate.line.key, {})
        for number in [number for number in kept if number < current - 2 * BUCKETS]:
            del kept[number]  # one window longer than it counts: the clock may be set back
        cells = {number: cell for number, cell in kept.items() if number >= current - BUCKETS}
        sums = {name: sum(cell.sums[name] for cell in cells.values()) for name in (SETTLED, HELD, UNKNOWN)}
        amount = gate.enforced if gate.enforced is not None else gate.trial
        totals = {number: cell.total for number, cell in cells.items()}
        frees = NEVER if amount is None else free_at(totals, gate.spot.param, gate.need, amount)
        credited = sum(cell.credited for cell in cells.values())
        return Tally(sums[SETTLED] - credited, sums[HELD], sums[UNKNOWN], frees)

    def _cell(self, line: Line) -> _Cell:
        if line.kind is Kind.ROLLING:
            return self._rolling.setdefault(line.key, {}).setdefault(int(line.slot), _Cell(line.expires))
        cell = self._windows.get(line.key)
        if cell is None:
            cell = self._windows[line.key] = _Cell(line.expires)
        return cell

    def _add(self, line: Line, where: str, amount: int) -> None:
        sums = self._cell(line).sums
        sums[where] = max(sums[where] + amount, 0)

    def _make_room(self, users: Sequence[str], now: int) -> None:
        fresh = [user for user in users if user not in self._users]
        if fresh and len(self._users) + len(fresh) > self._most_end_users:
            for user in [user for user, seen in self._users.items() if seen <= now - END_USER_MS]:
                del self._users[user]
            if len(self._users) + len(fresh) > self._most_end_users:
                raise TooManyEndUsers(self._most_end_users)

    def _prune(self, now: int) -> None:
        """Forget ended attempts after KEEP_MS, and windows long past."""
        while self._ended and self._ended[0][0] <= now - KEEP_MS:
            self._horizon = max(
                self._horizon, now - KEEP_MS
            )  # should the clock go back: a repetition is known
            rid = self._ended.popleft()[1]
            record = self._records.get(rid)
            if record is not None and record.state.terminal:
                del self._records[rid]
        if 0 <= now - self._pruned < PRUNE_MS:
            return
        self._pruned = now
        for key in [key for key, cell in self._windows.items() if NEVER < cell.expires <= now]:
            del self._windows[key]
        for key in [key for key, cells in self._rolling.items() if not cells]:
            del self._rolling[key]
        for key in [key for key, running in self._running.items() if not running]:
            del self._running[key]


def _settled_at(line: Line, to: State, actual: Amounts) -> int:
    """What a line weighs in its next state."""
    if to is State.SETTLED and line.measure.settles:
        return actual.get(line.measure, line.amount)
    return line.amount
