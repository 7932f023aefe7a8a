"""The health of one target, as a state machine; the clock comes in.

::

    closed ── failures in a row, or too few successes ──▶ open (30 s, doubling to 10 min)
      ▲                                                     │ its time is over
      │ slow start, 10 % → all                              ▼
      └──────────── it succeeds ──────── trying ◀── due: one real request
                                            │ it fails
                                            └──▶ open, twice as long

What says nothing of the target changes nothing: refusals for content, faults of the request, calls that never
left this process, and calls that began before the last change of state.

Failures come in milliseconds or seconds, pictures take a minute. Whoever counts in the order in which calls
*end* sees five failures in a row whenever traffic begins, and takes a healthy target out. So calls are
counted in the order in which they *began*, and one that is still running breaks a row: it has outlived the
failures that began after it. A dead target, where nothing outlives anything, is out after five calls all the
same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from itertools import takewhile

from config.routing import BreakerSettings
from gateway.routing.failure import Failure
from gateway.routing.windows import Decayed
from providers.base import Kind

LAST_CALLS = 20
MOST_CALLS = 5000
"""Remembered of a target, at least: those in flight, and the last of those that ended."""

HALF_LIFE = 300.0
"""Seconds after which a call counts half in the success rate that targets are compared by."""

LONGEST_TRIAL = 600.0
"""Seconds after which a trial that nobody ended is forgotten: more than the longest deadline."""

FORGIVEN_AFTER = 600.0
"""Seconds of good health after which the doubling starts anew."""

LEAST_SHARE = 0.1
_PRIOR, _PRIOR_WORTH = 0.9, 3.0


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    DUE = "due"
    TRYING = "trying"


class Fate(Enum):
    """What became of a call."""

    RUNNING = "running"
    GOOD = "good"
    BAD = "bad"


@dataclass(slots=True, eq=False)
class Ticket:
    """One attempt at a target that has begun. ``is_trial``: the one that decides whether it is well again."""

    began: float
    is_trial: bool = False
    fate: Fate = Fate.RUNNING


@dataclass(slots=True)
class TargetHealth:
    """``until`` is when an open target may be tried again; ``adopted`` that another replica took it out."""

    terms: BreakerSettings
    openings: int = 0
    until: float = 0.0
    cause: str = ""
    adopted: bool = False
    _is_open: bool = False
    _changed: float = float("-inf")
    _recovered: float = float("-inf")
    _trial_began: float | None = None
    _calls: list[Ticket] = field(default_factory=list)
    """Since the last change of state, in the order in which they began."""
    _success: Decayed = field(default_factory=lambda: Decayed(HALF_LIFE))

    def state(self, now: float) -> State:
        if not self._is_open:
            return State.CLOSED
        if now < self.until:
            return State.OPEN
        if self._trial_began is not None and now - self._trial_began < LONGEST_TRIAL:
            return State.TRYING
        return State.DUE

    def share(self, now: float) -> float:
        """The part of its calls that a target gets: all, or 10 % growing to all after a recovery."""
        if self.terms.slow_start <= 0:
            return 1.0
        grown = (now - self._recovered) / self.terms.slow_start
        return min(max(LEAST_SHARE + (1 - LEAST_SHARE) * grown, LEAST_SHARE), 1.0)

    def success_rate(self, now: float) -> float:
        """Of the last minutes, leaning on a good one while little is known."""
        return self._success.mean(now, prior=_PRIOR, worth=_PRIOR_WORTH)

    def recent_rate(self, now: float) -> float | None:
        """The plain share of the last minutes' calls that succeeded; None where there was next to none."""
        if self._success.weight(now) < 0.5:
            return None
        return self._success.mean(now, prior=0.0, worth=0.0)

    def begin(self, now: float) -> Ticket:
        """An attempt begins. The first at a target that is due is its trial."""
        if self.state(now) is State.DUE:
            self._trial_began = now
            return Ticket(now, is_trial=True)
        ticket = Ticket(now)
        if not self._is_open:
            self._calls.append(ticket)
            if len(self._calls) > 2 * MOST_CALLS:
                del self._calls[:MOST_CALLS]
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """An attempt that was never sent, or that says nothing of the target."""
        place = self._place(ticket)
        if place is not None:
            del self._calls[place]
        if ticket.is_trial and self._trial_began == ticket.began:
            self._trial_began = None

    def succeeded(self, ticket: Ticket, now: float) -> bool:
        """Whether that made it well again."""
        self._success.add(1.0, now)
        if ticket.is_trial and self._trial_began == ticket.began:
            self._close(now)
            return True
        ticket.fate = Fate.GOOD
        return False

    def failed(self, ticket: Ticket, failure: Failure, now: float) -> bool:
        """Whether that took it out."""
        if failure.is_fault_of_request or failure.is_our_own:
            self.abandon(ticket)
            return False
        self._success.add(0.0, now)
        if ticket.is_trial and self._trial_began == ticket.began:
            self._open(now, failure)
            return True
        ticket.fate = Fate.BAD
        if self._is_open or ticket.began < self._changed:
            return False
        if failure.kind is Kind.AUTH or self._is_poor(ticket, now):
            self._open(now, failure)
        return self._is_open

    def open_elsewhere(self, until: float, cause: str, now: float) -> None:
        """Another replica took it out until then; each replica makes its own trial afterwards."""
        if not self._is_open:
            self._leave(now)
            self.adopted, self.until, self.cause = True, until, cause
        elif self.adopted:
            self.until = max(self.until, until)

    def closed_elsewhere(self, now: float) -> None:
        """Another replica found well again what it had taken out."""
        if self._is_open and self.adopted and self.state(now) is State.OPEN:
            self._close(now)

    def _is_poor(self, failed: Ticket, now: float) -> bool:
        """Whether the failures around one that has just failed are too many: in a row, or of the last 20."""
        at = self._place(failed)
        if at is None:
            return False
        most = self.terms.consecutive_failures
        before = self._calls[max(at + 1 - max(most, LAST_CALLS), 0) : at + 1]
        if _row(reversed(before[-most:])) + _row(self._calls[at + 1 : at + most]) >= most:
            return True
        last = [ticket for ticket in before[-LAST_CALLS:] if now - ticket.began <= self.terms.window]
        good = sum(ticket.fate is not Fate.BAD for ticket in last)
        return len(last) >= self.terms.min_calls and good < self.terms.min_success_rate * len(last)

    def _place(self, ticket: Ticket) -> int | None:
        """Where it stands among the calls; None where it is no longer remembered."""
        first = bisect_left(self._calls, ticket.began, key=lambda call: call.began)
        return next(
            (number for number in range(first, len(self._calls)) if self._calls[number] is ticket), None
        )

    def _open(self, now: float, failure: Failure) -> None:
        was_well = not self._is_open and now - self._recovered >= FORGIVEN_AFTER
        self.openings = 1 if was_well else self.openings + 1
        self._leave(now)
        doubled: float = self.terms.open_for * 2.0 ** min(self.openings - 1, 30)
        self.until = now + min(doubled, self.terms.open_at_most)
        self.cause, self.adopted = failure.kind.value, False

    def _leave(self, now: float) -> None:
        self._is_open = True
        self._changed = now
        self._trial_began = None
        self._calls.clear()

    def _close(self, now: float) -> None:
        self._is_open = self.adopted = False
        self._changed = self._recovered = now
        self._trial_began = None


def _row(tickets: Iterable[Ticket]) -> int:
    """How many failed before the first that did not."""
    return sum(1 for _ in takewhile(lambda ticket: ticket.fate is Fate.BAD, tickets))
