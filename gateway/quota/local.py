"""The store in the process, for one replica: attempts and counters in dictionaries, rebuilt from the ledger
at every start.

Nothing awaits between a check and its take, so that each operation is one step on the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.quota.clock import wall_clock
from gateway.quota.end_users import EndUsers
from gateway.quota.errors import HoldLost, Rebuilding
from gateway.quota.holds import ALLOWED, SETTLED, Amounts, DispatchedHold, Hold, State
from gateway.quota.local_counters import LocalCounters
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
from gateway.quota.plan import bindings, merged, plan, probe, refuses, standing, standings, taken
from gateway.quota.store import KEEP_MS, MOST_END_USERS, SKEW_MS, Judge
from gateway.quota.terms import Limit
from gateway.quota.windows import Calendar, from_ms

PRUNE_MS = 60_000


@dataclass(slots=True)
class _Record:
    state: State
    hold: Hold
    lease: int
    """When it runs out, ms; only of ``held`` and ``dispatched``."""


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
        self._counters = LocalCounters()
        self._users = EndUsers(self._most_end_users)
        self._records: dict[str, _Record] = {}
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
        self._users.make_room(wanted.end_users, now)
        tallies = [self._counters.tally(gate, now) for gate in wanted.gates]
        on_trial = bindings(wanted.gates, tallies, now, shadow=True)
        if any(refuses(gate, tally) for gate, tally in zip(wanted.gates, tallies, strict=True)):
            return Refused(
                bindings(wanted.gates, tallies, now, shadow=False),
                standings(wanted.gates, tallies, now),
                on_trial,
            )
        self._users.saw(wanted.end_users, now)
        duplicate = False
        for each, lines in zip(reservations, wanted.lines, strict=True):
            if each.rid in self._records:
                duplicate = True
                continue
            hold = Hold(each.rid, now, each.lease_ms, lines, self._number)
            record = self._records[each.rid] = _Record(State.HELD, hold, now + each.lease_ms)
            self._counters.hold(hold, record.lease)
        self._counters.pay(wanted.gates, tallies, now)
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
                moved.append(self._end(verdict.end(record.hold), now, by_ledger=True))
            elif verdict is None and record.state is State.HELD:
                moved.append(self._end(End(record.hold, State.RELEASED), now))
            else:
                moved.append(self._end(End(record.hold, State.UNKNOWN), now))
        return moved

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        now = self._warm()
        found = []
        for limit in limits:
            gate = probe(limit, self.calendar, from_ms(now))
            found.append(standing(limit, gate.spot, self._counters.tally(gate, now), now))
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
            cell = self._counters.cell(line)
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
            self._counters.cell(line).credited = line.amount
        self._credits = credits.version

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        now = self._warm()
        unseen = [each for each in open_holds if each.hold.rid not in self._records]
        for each in unseen:
            self._restore(each, now)
        return [each.hold.rid for each in unseen]

    @property
    def number(self) -> int | None:
        return self._epoch.number if self._epoch else None

    async def identity(self) -> str | None:
        return None

    async def newest(self) -> int | None:
        return None

    async def claim(self, *, again: bool = False) -> bool:
        return True

    async def freeze(self, epoch: Epoch) -> None:
        self._epoch = None

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        now = self._clock()
        self._clear()
        for line in merged(sums):
            self._counters.cell(line).sums[SETTLED] = line.amount
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
        self._counters.keep_running(record.hold, record.lease)

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
        self._move(record, end.state, end.actual or {}, now, sent=end.sent)
        return Moved(rid, before, end.state, applied=True)

    def _end_unseen(self, end: End, now: int) -> Moved:
        rid = end.hold.rid
        older = 0 < end.hold.epoch < self._number
        admitted = end.hold.admitted
        if older or admitted < self._horizon or admitted <= now - KEEP_MS:
            return Moved(rid, None, None, applied=False)
        self._records[rid] = _Record(end.state, end.hold, now)
        self._counters.put(end.hold.lines, end.state, end.actual or {})
        if end.state.terminal:
            self._ended.append((now, rid))
        return Moved(rid, None, end.state, applied=True)

    def _move(self, record: _Record, to: State, actual: Amounts, now: int, *, sent: bool = True) -> None:
        before, record.state = record.state, to
        self._counters.move(record.hold, before, to, actual, now, sent=sent)
        if to.terminal:
            self._ended.append((now, record.hold.rid))

    def _restore(self, each: OpenHold, now: int) -> None:
        hold = each.hold.in_epoch(self._number)
        record = self._records[hold.rid] = _Record(each.state, hold, now + hold.lease_ms)
        if each.state is State.DISPATCHED:
            self._counters.keep_running(hold, record.lease)
        self._counters.put(hold.lines, each.state, {})

    def _prune(self, now: int) -> None:
        """Forget ended attempts after KEEP_MS, and counters that nobody can ask for."""
        while self._ended and self._ended[0][0] <= now - KEEP_MS:
            # Should the clock go back: a repetition is known.
            self._horizon = max(self._horizon, now - KEEP_MS)
            rid = self._ended.popleft()[1]
            record = self._records.get(rid)
            if record is not None and record.state.terminal:
                del self._records[rid]
        if 0 <= now - self._pruned < PRUNE_MS:
            return
        self._pruned = now
        self._counters.prune(now)
