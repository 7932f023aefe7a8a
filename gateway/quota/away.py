"""What happens while the store cannot be reached, per kind of limit.

==============  =======================================================================================
``closed``      503 within a second; the default for dollars, at any level
``allowance``   dollars may be spent from a slice that was reserved before (``allowance.py``), then closed
``open``        admitted and marked ``enforced=False``; the default for everything else
==============  =======================================================================================

The strictest mode of the limits that a call is under decides. What happens meanwhile is in the ledger; the
store is told by :meth:`GuardedStore.catch_up`, which the keeper calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from gateway.quota.allowance import LEASE_MS, Allowances, spend_limits
from gateway.quota.clock import wall_clock
from gateway.quota.errors import HoldLost, QuotaUnavailable, StoreAway
from gateway.quota.holds import Amounts, DispatchedHold, Hold, State
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
from gateway.quota.plan import plan
from gateway.quota.store import Judge, QuotaStore
from gateway.quota.terms import Limit, Measure
from gateway.quota.windows import Calendar

BATCH = 200


class Away(StrEnum):
    CLOSED = "closed"
    ALLOWANCE = "allowance"
    OPEN = "open"


DEFAULT: Mapping[Measure, Away] = {
    measure: Away.CLOSED if measure is Measure.SPEND else Away.OPEN for measure in Measure
}


def by_measure(limit: Limit) -> Away:
    """The default of each kind of limit."""
    return DEFAULT[limit.measure]


class GuardedStore:
    """A :class:`gateway.quota.store.QuotaStore` around another, for one replica (``replica`` names it).
    ``mode_of`` says what holds for a limit; an allowance of anything but dollars is closed."""

    def __init__(
        self,
        inner: QuotaStore,
        mode_of: Callable[[Limit], Away] = by_measure,
        *,
        replica: str = "0",
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._inner = inner
        self._mode_of = mode_of
        self._replica = replica
        self._clock = clock
        self._allowances = Allowances()
        self._slices = 0
        self._own: dict[str, tuple[Hold, State]] = {}
        """Attempts admitted without the store, until it has been told of them."""
        self._open: set[str] = set()
        """Attempts of this replica that the store admitted under open limits alone."""
        self._untold: deque[End] = deque()
        self._telling = asyncio.Lock()
        self._setting_aside: set[asyncio.Task[None]] = set()

    @property
    def calendar(self) -> Calendar:
        return self._inner.calendar

    @calendar.setter
    def calendar(self, calendar: Calendar) -> None:
        self._inner.calendar = calendar

    @property
    def behind(self) -> int:
        """How many attempts the store has not been told of: a gauge for metrics."""
        return len(self._own) + len(self._untold)

    async def start(self) -> None:
        await self._inner.start()

    async def aclose(self) -> None:
        for task in tuple(self._setting_aside):
            task.cancel()
        await asyncio.gather(*self._setting_aside, return_exceptions=True)
        await self._inner.aclose()

    async def reserve(
        self, reservations: Sequence[Reservation], ended: Sequence[End] = ()
    ) -> Admitted | Refused:
        told = [end for end in ended if end.hold.rid not in self._own]
        for end in ended:
            self._open.discard(end.hold.rid)
            if end.hold.rid in self._own:
                self._end_own(end)
        try:
            outcome = await self._inner.reserve(reservations, told)
        except QuotaUnavailable as error:
            self._untold.extend(told)
            return self._without_store(reservations, error)
        if isinstance(outcome, Admitted):
            self._open.update(each.rid for each in reservations if self._modes([each]) <= {Away.OPEN})
            self._consider_slice(reservations, outcome)
        return outcome

    async def dispatch(self, hold: Hold) -> DispatchedHold:
        own = self._own.get(hold.rid)
        if own is not None:
            if own[1] is not State.HELD:
                raise HoldLost(hold.rid, own[1])
            self._own[hold.rid] = (hold, State.DISPATCHED)
            return DispatchedHold(hold)
        try:
            return await self._inner.dispatch(hold)
        except QuotaUnavailable:
            if hold.rid not in self._open:
                raise
            self._own[hold.rid] = (hold, State.DISPATCHED)
            return DispatchedHold(hold)

    async def settle(self, hold: Hold, actual: Amounts) -> Moved:
        return await self._ended(End(hold, State.SETTLED, actual))

    async def release(self, hold: Hold) -> Moved:
        return await self._ended(End(hold, State.RELEASED))

    async def unknown(self, hold: Hold) -> Moved:
        return await self._ended(End(hold, State.UNKNOWN))

    async def end(self, ends: Sequence[End], *, by_ledger: bool = True) -> Sequence[Moved]:
        self._open.difference_update(end.hold.rid for end in ends)
        moved = [self._end_own(end) for end in ends if end.hold.rid in self._own]
        own = {each.rid for each in moved}
        told = [end for end in ends if end.hold.rid not in own]
        try:
            return [*moved, *await self._inner.end(told, by_ledger=by_ledger)] if told else moved
        except QuotaUnavailable:
            self._untold.extend(told)
            return [*moved, *(Moved(end.hold.rid, None, None, applied=False, deferred=True) for end in told)]

    async def heartbeat(self, holds: Sequence[Hold]) -> Sequence[str]:
        return await self._inner.heartbeat([hold for hold in holds if hold.rid not in self._own])

    async def reap(self, judge: Judge, batch: int = REAP_BATCH) -> Sequence[Moved]:
        return await self._inner.reap(judge, batch)

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        return await self._inner.standing(limits)

    async def open_ids(self) -> OpenIds:
        return await self._inner.open_ids()

    async def find(self, rids: Sequence[str]) -> Mapping[str, Hold]:
        return await self._inner.find(rids)

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        return await self._inner.adopt(open_holds)

    async def raise_to(self, sums: Sums, as_of: int) -> Sequence[Drift]:
        return await self._inner.raise_to(sums, as_of)

    async def credit(self, credits: Credits) -> None:
        await self._inner.credit(credits)

    @property
    def number(self) -> int | None:
        return self._inner.number

    async def identity(self) -> str | None:
        return await self._inner.identity()

    async def newest(self) -> int | None:
        return await self._inner.newest()

    async def claim(self, *, again: bool = False) -> bool:
        return await self._inner.claim(again=again)

    async def freeze(self, epoch: Epoch) -> None:
        await self._inner.freeze(epoch)

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        await self._inner.rebuild(epoch, sums, open_holds)

    async def catch_up(self) -> int:
        """Tell the store what happened without it; returns how many attempts. Raises where it is away."""
        async with self._telling:
            return await self._tell()

    async def _tell(self) -> int:
        told = 0
        while self._untold:
            batch = [self._untold[i] for i in range(min(BATCH, len(self._untold)))]
            await self._inner.end(batch)
            for _ in batch:
                self._untold.popleft()
            told += len(batch)
        running = [OpenHold(hold, state) for hold, state in self._own.values() if state is State.DISPATCHED]
        if running:
            await self._inner.adopt(running)
            for each in running:
                self._own.pop(each.hold.rid, None)
        if not self._own:
            for used in self._allowances.drain():
                await self._inner.release(used.hold)
        self._allowances.forget(self._clock())
        return told + len(running)

    def _without_store(self, reservations: Sequence[Reservation], error: QuotaUnavailable) -> Admitted:
        now = self._clock()
        modes = self._modes(reservations)
        if Away.CLOSED in modes:
            raise error
        lines = plan(reservations, self.calendar, now).lines
        holds = [
            Hold(each.rid, now, each.lease_ms, taken) for each, taken in zip(reservations, lines, strict=True)
        ]
        if Away.ALLOWANCE in modes:
            # A store that lost its state has lost the slice as well: only silence may be bridged.
            holds = self._spend(holds, now) if isinstance(error, StoreAway) else []
            if not holds:
                raise error
        for hold in holds:
            self._own[hold.rid] = (hold, State.HELD)
        return Admitted(tuple(holds), enforced=Away.OPEN not in modes)

    def _modes(self, reservations: Sequence[Reservation]) -> set[Away]:
        """Of all limits in force that a call takes something from."""
        return {
            self._mode(limit)
            for each in reservations
            for limit in each.limits
            if not limit.shadow and each.amounts.get(limit.measure, limit.measure is Measure.CONCURRENT)
        }

    def _mode(self, limit: Limit) -> Away:
        mode = self._mode_of(limit)
        if mode is Away.ALLOWANCE and limit.measure is not Measure.SPEND:
            return Away.CLOSED
        return mode

    def _spend(self, holds: Sequence[Hold], now: int) -> list[Hold]:
        """All from slices, or none. They carry the slice's epoch: if the counters are built anew meanwhile,
        without the slice, the ledger refuses their intent rows."""
        spent: list[Hold] = []
        for hold in holds:
            slice_ = self._allowances.spend(hold.rid, hold.amount(Measure.SPEND), hold.lines, now)
            if slice_ is None:
                for each in spent:
                    self._allowances.correct(each.rid, 0)
                return []
            spent.append(hold.in_epoch(slice_.hold.epoch))
        return spent

    async def _ended(self, end: End) -> Moved:
        (moved,) = await self.end([end], by_ledger=False)
        return moved

    def _end_own(self, end: End) -> Moved:
        rid = end.hold.rid
        hold, before = self._own.pop(rid)
        amount = hold.amount(Measure.SPEND)
        if end.state is State.SETTLED:
            self._allowances.correct(rid, (end.actual or {}).get(Measure.SPEND, amount))
        elif end.state is State.RELEASED:
            self._allowances.correct(rid, 0)
        self._untold.append(replace(end, hold=hold))
        return Moved(rid, before, end.state, applied=True, deferred=True)

    def _consider_slice(self, reservations: Sequence[Reservation], admitted: Admitted) -> None:
        limits = spend_limits(reservations)
        modes = {self._mode(limit) for limit in limits}
        if Away.ALLOWANCE not in modes or Away.CLOSED in modes:
            return
        amount = self._allowances.wanted(limits, admitted, self._clock())
        if amount > 0 and not self._setting_aside:
            task = asyncio.create_task(self._set_aside(limits, amount))
            self._setting_aside.add(task)
            task.add_done_callback(self._setting_aside.discard)

    async def _set_aside(self, limits: Sequence[Limit], amount: int) -> None:
        self._slices += 1
        since = self._clock()
        rid = f"allowance-{self._replica}-{since}/{self._slices}"
        try:
            outcome = await self._inner.reserve([Reservation(rid, {Measure.SPEND: amount}, limits, LEASE_MS)])
            if isinstance(outcome, Admitted):
                old = self._allowances.put(limits, outcome.holds[0], since)
                if old is not None:
                    await self.catch_up()
                    await self._inner.release(old.hold)
        except QuotaUnavailable:
            return
