"""What must happen from time to time: heartbeats, reaping, the drift check, catching up, and the rebuild.

It knows the ledger as :class:`Record`. Each step can be called alone; :meth:`Keeper.start` runs them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from gateway.errors import Unavailable
from gateway.quota.away import GuardedStore
from gateway.quota.errors import Rebuilding
from gateway.quota.holds import Hold, Line
from gateway.quota.outcomes import (
    HEARTBEAT_SECONDS,
    REAP_BATCH,
    Credits,
    Drift,
    Epoch,
    Moved,
    OpenHold,
    Verdict,
)
from gateway.quota.terms import Measure

REAP_SECONDS = 15
DRIFT_SECONDS = 60
CATCH_UP_SECONDS = 1
COLD_SECONDS = 0.5
CLAIM_SECONDS = 2.0
CLAIMS = 30
"""How often, and how many times, a replica that builds says so: one that takes long must not be interrupted
by the next, and one that is stuck must be."""

_AT_ONCE = frozenset({Measure.REQUESTS, Measure.IMAGES})
"""What counts for good from the moment it is sent."""


NO_CREDITS = Credits(0, ())


@dataclass(frozen=True, slots=True)
class Account:
    """One snapshot of the ledger (one transaction): what it says of the attempts asked for, the settled sums
    of the windows that limits count in now, and all open attempts. Sums and open attempts are of attempts
    admitted before the moment asked for; a sum of requests or images counts those that have ended after they
    were dispatched. ``credits`` are all, whenever they were entered."""

    verdicts: Mapping[str, Verdict]
    sums: Sequence[Line]
    open_holds: Sequence[OpenHold]
    credits: Credits = NO_CREDITS


class Record(Protocol):
    """The ledger, as this room needs it."""

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
        """Write and return the next epoch, durably. Intent rows of older ones are refused from then on.
        ``seen`` is the newest in the store: one that this ledger never began means that it was set back to
        a backup, or that another copy of it counts there, and it takes another name for its counters."""
        ...

    async def lapse(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        """The leases of these attempts are out: those that have a row and run become unknown, durably.
        Returns what the ledger then says of each that has a row."""
        ...

    async def account(self, rids: Sequence[str], before: int | None) -> Account:
        """``before`` in ms by the store's clock (``Hold.admitted``); None: everything."""
        ...

    async def credits(self) -> Credits: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What a step did, for logs and metrics: ``reap`` gives ``moved``, ``drift`` gives ``drifts`` and
    ``adopted``, ``rebuild`` its epoch and duration, ``catch_up`` a count."""

    step: str
    moved: Sequence[Moved] = ()
    drifts: Sequence[Drift] = ()
    adopted: Sequence[str] = ()
    count: int = 0
    milliseconds: int = 0
    failure: Exception | None = None


class Keeper:
    """Keeps one replica's holds alive and the store in step with the ledger. ``tell`` hears of every step
    that did something or failed; it must not raise."""

    def __init__(self, store: GuardedStore, record: Record, tell: Callable[[Kept], None]) -> None:
        self._store = store
        self._record = record
        self._tell = tell
        self._running: dict[str, Hold] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._compared: int | None = None
        """The epoch in which the store has all that the ledger says under the limits of this replica."""

    def watch(self, hold: Hold) -> None:
        """Keep the lease of an attempt of this replica."""
        self._running[hold.rid] = hold

    def forget(self, rid: str) -> None:
        """It has ended."""
        self._running.pop(rid, None)

    @property
    def watched(self) -> Sequence[Hold]:
        """Those that have not ended."""
        return list(self._running.values())

    async def beat(self) -> Sequence[str]:
        """Extend all leases; returns the ids that the store no longer counts as running."""
        return await self._store.heartbeat(self.watched) if self._running else []

    async def reap(self) -> Sequence[Moved]:
        """End lapsed attempts, batch after batch: in the ledger first, then in the store."""
        moved: list[Moved] = []
        while True:
            batch = await self._store.reap(self._record.lapse)
            moved += batch
            if len(batch) < REAP_BATCH:
                return moved

    async def drift(self) -> tuple[Sequence[Drift], Sequence[str]]:
        """Bring the store to what the ledger knows: ends that it missed, attempts that it never saw, sums,
        credits.

        The sums are of attempts admitted before the store was asked for its open ones. Each of those is open
        there (and ended here, if the ledger has ended it), has ended there, or was never seen; so no amount
        can be raised and then be added once more by its own settle.
        """
        known = await self._store.open_ids()
        number = self._store.number
        account = await self._record.account(known.rids, known.as_of)
        ended = {rid: verdict for rid, verdict in account.verdicts.items() if verdict.state.terminal}
        holds = await self._store.find(list(ended))
        await self._store.end([ended[rid].end(holds[rid]) for rid in holds])
        there = set(known.rids)
        adopted = await self._store.adopt([each for each in account.open_holds if each.hold.rid not in there])
        await self._store.credit(account.credits)
        drifts = await self._store.raise_to(account.sums, known.as_of)
        self._compared = number
        # Counters have the requests and images of attempts that have not ended; the ledger's sums do not.
        return [each for each in drifts if each.raised or each.line.measure not in _AT_ONCE], adopted

    async def credit(self) -> None:
        """Tell the store of credits now and not at the next drift check."""
        await self._store.credit(await self._record.credits())

    async def rebuild(self) -> Epoch | None:
        """Build the counters anew from the ledger; None where another replica is at it."""
        if not await self._store.claim():
            return None
        claiming = asyncio.create_task(self._keep_claim(), name="claim")
        try:
            return await self._build()
        finally:
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)

    async def _keep_claim(self) -> None:
        for _ in range(CLAIMS):
            await asyncio.sleep(CLAIM_SECONDS)
            with suppress(Unavailable):
                await self._store.claim(again=True)

    async def _build(self) -> Epoch:
        epoch = await self._record.begin_epoch(await self._store.identity(), await self._store.newest())
        await self._store.freeze(epoch)
        account = await self._record.account([], None)
        await self._store.rebuild(epoch, account.sums, account.open_holds)
        await self._store.credit(account.credits)
        self._compared = epoch.number
        return epoch

    async def warm(self) -> None:
        """Rebuild if the store's state cannot be proved, and only then."""
        try:
            await self._store.standing([])
        except Rebuilding:
            begun = monotonic()
            epoch = await self.rebuild()
            if epoch is not None:
                taken = round((monotonic() - begun) * 1000)
                self._tell(Kept("rebuild", count=epoch.number, milliseconds=taken))

    def start(self) -> None:
        """Run everything in the background until :meth:`aclose`."""
        steps: list[tuple[float, str, Callable[[], Awaitable[Kept]]]] = [
            (COLD_SECONDS, "warm", self._warm),
            (CATCH_UP_SECONDS, "catch_up", self._catch_up),
            (HEARTBEAT_SECONDS, "beat", self._beat),
            (REAP_SECONDS, "reap", self._reap),
            (DRIFT_SECONDS, "drift", self._drift),
        ]
        self._tasks = [asyncio.create_task(self._every(*step)) for step in steps]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _every(self, seconds: float, step: str, act: Callable[[], Awaitable[Kept]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                kept = await act()
            except Exception as error:  # a defect, too, must not end the heartbeats of what runs
                kept = Kept(step, failure=error)
            if kept != Kept(step):
                self._tell(kept)

    async def _warm(self) -> Kept:
        await self.warm()
        if self._store.number in (None, self._compared):
            return Kept("warm")
        # Another replica has built these counters, by a configuration that may lack limits of ours.
        return await self._drift()

    async def _catch_up(self) -> Kept:
        return Kept("catch_up", count=await self._store.catch_up())

    async def _beat(self) -> Kept:
        return Kept("beat", count=len(await self.beat()))

    async def _reap(self) -> Kept:
        return Kept("reap", moved=tuple(await self.reap()))

    async def _drift(self) -> Kept:
        drifts, adopted = await self.drift()
        return Kept("drift", drifts=tuple(drifts), adopted=tuple(adopted))
