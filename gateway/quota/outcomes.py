"""What goes into a store and what comes out of it. Values only; amounts in the measure's own unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.quota.holds import Amounts, Hold, Line, State
from gateway.quota.terms import Limit

LEASE_MS = 45_000
"""How long a hold lives without a heartbeat."""

HEARTBEAT_SECONDS = 15

REAP_BATCH = 200


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one attempt wants: ``amounts`` per measure, to be taken from every limit of that measure.

    Give requests and images to a request's first attempt only, since they count once per client request. A
    measure that is absent takes nothing; ``concurrent`` is 1 wherever such a limit is listed. ``limits`` are
    all that apply, of all scopes.
    """

    rid: str
    amounts: Amounts
    limits: Sequence[Limit]
    lease_ms: int = LEASE_MS


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. ``actual`` is what to settle at; a measure that it lacks settles at its hold.
    ``sent`` False: it is certain that no call was made, so that its request and its images do not count,
    whatever the store has taken it for meanwhile."""

    hold: Hold
    state: State
    actual: Amounts | None = None
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one limit stands. ``settled`` is less what credits gave back, and negative where they gave more
    than was spent: that much may be spent above the limit's amount. For a rate, it is what its bucket still
    remembers and ``resets_at`` when that is nothing; for ``concurrent``, ``held`` counts live leases."""

    limit: Limit
    window: str
    settled: int
    held: int
    unknown: int
    resets_at: datetime | None
    """When the window ends; None: it does not."""

    @property
    def charged(self) -> int:
        """``settled`` as it is shown: never less than nothing."""
        return max(self.settled, 0)

    @property
    def used(self) -> int:
        return self.settled + self.held + self.unknown

    @property
    def left(self) -> int:
        return max(self.limit.amount - self.used, 0)


@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that did not have enough left for what was ``needed`` (over all attempts of the call)."""

    standing: Standing
    needed: int
    retry_after_ms: int | None
    """After which it would fit if nothing else happened; None: not known, or never."""

    @property
    def limit(self) -> Limit:
        return self.standing.limit


@dataclass(frozen=True, slots=True)
class Admitted:
    """Everything was taken. ``standings`` include it; ``shadowed`` are limits on trial that would have
    refused. ``duplicate``: the ids were already known, nothing was taken again. ``enforced`` is False where a
    store was away and its limits are open (``away.py``)."""

    holds: tuple[Hold, ...]
    standings: tuple[Standing, ...] = ()
    shadowed: tuple[Binding, ...] = ()
    duplicate: bool = False
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken, at any level. ``bindings`` are all limits that refused, in the order given."""

    bindings: tuple[Binding, ...]
    standings: tuple[Standing, ...] = ()
    shadowed: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """What a settle, release or unknown did. ``before`` None: the store had never seen the id. ``applied``
    False: a repetition, or a state that may not be left; nothing changed and ``after`` is what stands."""

    rid: str
    before: State | None
    after: State | None
    applied: bool
    deferred: bool = False
    """The store is away and will be told later; the ledger has it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledger says of an attempt. ``state`` is dispatched, settled, released or unknown; ``sent`` as
    in :class:`End`."""

    state: State
    actual: Amounts | None = None
    sent: bool = True

    def end(self, hold: Hold) -> End:
        """That of ``hold``, where the state is an end."""
        return End(hold, self.state, self.actual, self.sent)


@dataclass(frozen=True, slots=True)
class OpenHold:
    """An attempt that the ledger knows as ``dispatched`` or ``unknown``."""

    hold: Hold
    state: State


@dataclass(frozen=True, slots=True)
class OpenIds:
    """Attempts that the store knows as held, dispatched or unknown, ``as_of`` ms by its clock."""

    as_of: int
    rids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """A sum of the ledger that was above (raised) or below (left alone) the counter."""

    line: Line
    counter: int
    raised: bool


@dataclass(frozen=True, slots=True)
class Credits:
    """All that the ledger says was given back in the windows of now, as lines; a line of 0 was taken back.
    ``version`` grows with each entry: a store that knows a higher one has heard a later word."""

    version: int
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Epoch:
    """Which building of the counters is in force. The ledger keeps it; ``run_id`` names the server that it
    was built in (``connection.identity``), None where that is not compared. ``ledger`` is the ledger's id,
    which the counters are named after; None: it never changes."""

    number: int
    run_id: str | None = None
    ledger: str | None = None


Sums = Iterable[Line]
"""Settled sums of the ledger, each as a line whose amount is the sum (``plan.line`` makes one)."""
