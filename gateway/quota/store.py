"""The protocol that both stores keep.

Order of writes for one attempt, with the ledger as the record::

    reserve ─▶ ledger: intent row, durable ─▶ dispatch ─▶ send ─▶ ledger: settled row ─▶ settle

A crash anywhere leaves nothing, or a row that is found. Every operation may be repeated, and may arrive late.

An end (settle, release, unknown) of an id that the store has never seen is applied if the attempt was
admitted after the counters were last built from the ledger (by its epoch; by the clock where it has none);
otherwise the ledger's sums already hold it, and it changes nothing (``Moved.applied`` False).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from gateway.quota.holds import Amounts, DispatchedHold, Hold
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
    Verdict,
)
from gateway.quota.terms import Limit
from gateway.quota.windows import Calendar

Judge = Callable[[Sequence[str]], Awaitable[Mapping[str, Verdict]]]
"""What the ledger says of these attempt ids, whose leases are out; ids without a row are absent. It has them
as ended or unknown by then, so that no rebuild gives back what the store gives away."""

KEEP_MS = 3_600_000
"""How long a store remembers an attempt's end; later, a repetition is known by its admission's age."""

SKEW_MS = 2_000
"""How far our clock may be from the store's before its time is taken over."""

SLACK_MS = 60_000
"""How long a lapsed lease of concurrency keeps its place where nobody reaps it. Until it is reaped the ledger
may have the attempt as running, and a rebuild would give it the place that another one got meanwhile."""

MOST_END_USERS = 100_000
"""End users whose counters are kept at once: clients make up their names, and memory is finite."""

END_USER_MS = 32 * 86_400_000
"""How long an end user counts as one of them after the last admission."""


class QuotaStore(Protocol):
    """All methods may raise :class:`gateway.quota.errors.QuotaUnavailable`, within a second."""

    calendar: Calendar
    """The organisation's; replace it with ``calendar.changed(...)`` when the zone changes."""

    async def start(self) -> None:
        """Once, before the first call. Raises :class:`gateway.quota.errors.UnsafeStore`."""
        ...

    async def reserve(
        self, reservations: Sequence[Reservation], ended: Sequence[End] = ()
    ) -> Admitted | Refused:
        """Take everything for all attempts of the call or nothing, in one step.

        ``ended`` are earlier attempts of the same request, moved first and in any case, so that a failover
        gives back what its first attempt did not spend. An id that is known already is not taken again.
        Raises :class:`gateway.quota.errors.TooManyEndUsers`.
        """
        ...

    async def dispatch(self, hold: Hold) -> DispatchedHold:
        """Leave to send. Raises :class:`gateway.quota.errors.HoldLost` unless the hold is ``held``."""
        ...

    async def settle(self, hold: Hold, actual: Amounts) -> Moved:
        """What the attempt really used; a measure that is absent settles at its hold."""
        ...

    async def release(self, hold: Hold) -> Moved:
        """Nothing was spent. Requests and images that were dispatched stay counted."""
        ...

    async def unknown(self, hold: Hold) -> Moved:
        """Nobody knows. The hold keeps counting, visibly, until it is settled or released."""
        ...

    async def heartbeat(self, holds: Sequence[Hold]) -> Sequence[str]:
        """Extend the leases. Returns the ids that are no longer held or dispatched."""
        ...

    async def reap(self, judge: Judge, batch: int = REAP_BATCH) -> Sequence[Moved]:
        """End attempts whose lease is out, at most ``batch``: as the ledger says, else ``held`` is released
        and ``dispatched`` becomes unknown. Any replica may do it; each attempt is ended once."""
        ...

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        """Where the limits stand now."""
        ...

    async def open_ids(self) -> OpenIds:
        """All attempts that are not ended, for the drift check."""
        ...

    async def end(self, ends: Sequence[End], *, by_ledger: bool = True) -> Sequence[Moved]:
        """Many ends at once. The ledger's word also settles a hold whose dispatch the store has lost."""
        ...

    async def find(self, rids: Sequence[str]) -> Mapping[str, Hold]:
        """The holds of open attempts, by id."""
        ...

    async def raise_to(self, sums: Sums, as_of: int) -> Sequence[Drift]:
        """Raise counters that are below the ledger's sums; never lower one. ``as_of`` (ms by the store's
        clock): the sums are of attempts admitted before it, and all that the store knows of those is applied
        (``keeper.drift`` does both)."""
        ...

    async def credit(self, credits: Credits) -> None:
        """Take over what was given back, whole: each line's amount stands instead of what stood there, beside
        the sums and never in them. Nothing happens where a later ``version`` was told before."""
        ...

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        """Put in attempts that the ledger knows as open and the store has never seen: admitted while it was
        away. Returns the ids taken in; what is known, open or ended, is left as it is."""
        ...

    @property
    def number(self) -> int | None:
        """Of the epoch that is counted in, whoever has built it; None: not known yet."""
        ...

    async def identity(self) -> str | None:
        """Which server answers now, for the ledger to keep beside a new epoch; None if it does not matter."""
        ...

    async def newest(self) -> int | None:
        """The newest epoch that was ever begun in these counters, by whomever; None: there is none, or nobody
        else counts here."""
        ...

    async def claim(self, *, again: bool = False) -> bool:
        """Whether this replica may rebuild now, so that not all do at once. A claim ends by itself; ``again``
        has one's own last longer."""
        ...

    async def freeze(self, epoch: Epoch) -> None:
        """Stop admissions everywhere until ``epoch`` is built: after it was written to the ledger and before
        the snapshot is taken, so that nothing is admitted that the snapshot lacks."""
        ...

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        """Build the counters anew from one snapshot of the ledger, taken after :meth:`freeze`.
        Until this is done every other operation raises :class:`gateway.quota.errors.Rebuilding`."""
        ...

    async def aclose(self) -> None: ...
