"""What a store may raise. All are 503: nothing was sent, and a retry may find better times.

::

    Unavailable
      QuotaUnavailable
        StoreAway       the store does not answer, or not within a second
        Rebuilding      its state cannot be proved: flushed, failed over, or not yet rebuilt from the ledger
        ClockSkew       its clock and ours disagree, and did so again after taking its time over
      TooManyEndUsers   no room to count one more end user; not to be bridged by any mode
      HoldLost          dispatch found the hold in another state than held: the call must not be sent
    UnsafeStore         at start: the server may evict counters
"""

from __future__ import annotations

from gateway.errors import Unavailable
from gateway.quota.holds import State


class QuotaUnavailable(Unavailable):
    """Limits cannot be proved to hold now. ``away.py`` decides per limit what that means."""


class StoreAway(QuotaUnavailable):
    code = "budget_store_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The store that keeps budgets does not answer, so nothing was spent. Try again in a few seconds.",
            retry_after=5,
        )
        self.reason = reason
        """For the log: the kind of failure, without addresses or credentials."""


class Rebuilding(QuotaUnavailable):
    code = "budget_state_rebuilding"

    def __init__(self) -> None:
        super().__init__(
            "The state of budgets is being rebuilt from the ledger, so nothing was spent. "
            "Try again in a second.",
            retry_after=1,
        )


class ClockSkew(QuotaUnavailable):
    code = "clock_skew"

    def __init__(self, milliseconds: int) -> None:
        super().__init__(
            "The clocks of this gateway and of its budget store disagree, so nothing was spent. "
            "The operator should check time synchronisation.",
            retry_after=5,
        )
        self.milliseconds = milliseconds


class TooManyEndUsers(Unavailable):
    code = "too_many_end_users"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"This gateway keeps limits of {most} end users at once and has no room for another one, so the "
            "call was not made. Send a stable safety_identifier (or user) per person, not one per request.",
            retryable=False,
        )


class HoldLost(Unavailable):
    """``state`` is what the hold has become; None: the store has never seen it."""

    code = "hold_lost"

    def __init__(self, rid: str, state: State | None) -> None:
        super().__init__(
            "What this call had reserved is no longer held, so it was not sent and nothing was spent. "
            "Try again.",
            retry_after=1,
        )
        self.rid = rid
        self.state = state


class UnsafeStore(RuntimeError):
    """The server's settings would lose counters; says which and what to do."""
