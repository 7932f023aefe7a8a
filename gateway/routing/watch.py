"""What is known of every target: its health, its cooldowns, and how long pictures take there.

The engine tells it of attempts as they begin and end; plans are ordered by what it says. Times are seconds of
one steady clock, which the caller reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from config.routing import BreakerSettings
from gateway.routing import attempt_time
from gateway.routing.cooldowns import RETRY_AFTER, Cooldown, Cooldowns
from gateway.routing.failure import Failure
from gateway.routing.health import State, TargetHealth, Ticket
from gateway.routing.latency import Latencies
from gateway.routing.names import Shape, TargetName
from gateway.routing.shared import OPEN, Alone, Note, SharedHealth
from providers.base import Kind
from providers.rate_headers import hints

_ASKS_FOR_REST = frozenset({Kind.THROTTLED, Kind.OVERLOADED})


LISTEN_EVERY = 0.25
"""Seconds."""


class Change(StrEnum):
    """What an attempt's end did to its target; worth a log line and an alert."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Standing:
    """One target as a plan sees it. ``until`` is when an open one may be tried again, ``share`` the part of
    its calls that it gets, ``seconds`` what a picture of the shape is expected to take (None: unknown)."""

    state: State = State.CLOSED
    until: float = 0.0
    cause: str = ""
    share: float = 1.0
    cooldown: Cooldown | None = None
    success: float = 1.0
    seconds: float | None = None
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Live:
    """``success`` is the share of the last minutes' calls, ``p50`` and ``p95`` are seconds to a picture over
    all shapes; None where nothing is known. ``state`` is that of its health, or ``cooling``."""

    state: str
    success: float | None
    p50: float | None
    p95: float | None


class Watch:
    """Of all targets. One per process."""

    def __init__(self, terms: BreakerSettings, shared: SharedHealth | None = None) -> None:
        self._terms = terms
        self._shared: SharedHealth = shared or Alone()
        self._targets: dict[TargetName, TargetHealth] = {}
        self._cooldowns = Cooldowns()
        self._latencies = Latencies()
        self._listened = float("-inf")

    def reconfigured(self, terms: BreakerSettings) -> None:
        """Other thresholds from now on; what is known stays."""
        self._terms = terms
        for health in self._targets.values():
            health.terms = terms

    def standing(self, target: TargetName, shape: Shape, now: float) -> Standing:
        self.listen(now)
        health = self._of(target)
        return Standing(
            state=health.state(now),
            until=health.until,
            cause=health.cause,
            share=health.share(now),
            cooldown=self._cooldowns.of(target, now),
            success=health.success_rate(now),
            seconds=self._latencies.expected(target, shape, now),
            pace=self._latencies.pace(target, now),
        )

    def may_begin(self, target: TargetName, now: float, *, forced: bool = False) -> bool:
        """Whether an attempt may be sent now: the target neither cools nor has it been taken out, or tried by
        another request, since the plan was made. ``forced`` as the plan says."""
        if self._cooldowns.of(target, now) is not None:
            return False
        return forced or self._of(target).state(now) not in (State.OPEN, State.TRYING)

    def begin(self, target: TargetName, now: float) -> Ticket:
        """An attempt is about to be sent."""
        return self._of(target).begin(now)

    def abandon(self, target: TargetName, ticket: Ticket) -> None:
        """It was not sent after all (no room under a limit, the client gone)."""
        self._of(target).abandon(ticket)

    def succeeded(
        self,
        target: TargetName,
        ticket: Ticket,
        shape: Shape,
        now: float,
        *,
        seconds: float | None = None,
        pictures: int = 1,
    ) -> Change | None:
        """It gave its pictures. ``seconds`` is what the call itself took, without waiting for a place (None:
        since it began); only answers of one picture count for how long one takes."""
        if pictures == 1:
            self._latencies.note(target, shape, now - ticket.began if seconds is None else seconds, now)
        if not self._of(target).succeeded(ticket, now):
            return None
        self._shared.withdraw(target)
        return Change.CLOSED

    def failed(self, target: TargetName, ticket: Ticket, failure: Failure, now: float) -> Change | None:
        """A provider that says when to come again gets its rest and no mark against its health."""
        health = self._of(target)
        if failure.kind in _ASKS_FOR_REST and failure.retry_after and not failure.is_our_own:
            self._rest(target, RETRY_AFTER, failure.retry_after, now)
            health.abandon(ticket)
            return None
        if not health.failed(ticket, failure, now):
            return None
        self._shared.publish(Note(target, OPEN, health.until - now, health.cause))
        return Change.OPENED

    def heard(self, target: TargetName, headers: Mapping[str, str], now: float) -> None:
        """The headers of an answer: what has run out there. A refusal's are in its ``retry_after``."""
        for kind, seconds in hints(headers):
            self._rest(target, kind, seconds, now)

    def live(self, target: TargetName, now: float) -> Live:
        """What it has been like of late."""
        self.listen(now)
        health = self._of(target)
        quantiles = self._latencies.overall(target, (0.5, 0.95), now) or (None, None)
        cooldown = self._cooldowns.of(target, now)
        return Live(
            "cooling" if cooldown is not None else health.state(now).value,
            health.recent_rate(now),
            *quantiles,
        )

    def attempt_seconds(
        self, target: TargetName, shape: Shape, remaining: float, now: float, *, may_follow: bool = True
    ) -> float:
        """How long one attempt may take (``attempt_time``): by its own pictures, else by those of all."""
        p99 = next(
            (
                self._latencies.quantile(shape, 0.99, whose)
                for whose in (target, None)
                if self._latencies.is_settled(shape, now, whose)
            ),
            None,
        )
        return attempt_time.attempt_seconds(p99, remaining, may_follow=may_follow)

    def quantile(self, shape: Shape, share: float, target: TargetName | None = None) -> float | None:
        """Seconds that this share of such pictures took at most, at a target or anywhere."""
        return self._latencies.quantile(shape, share, target)

    def listen(self, now: float) -> None:
        """Take over what other replicas have told since. Once in a quarter of a second is enough: a plan asks
        for each of its targets."""
        if now - self._listened < LISTEN_EVERY:
            return
        self._listened = now
        self._cooldowns.forget(now)
        notes = self._shared.heard()
        if notes is None:
            return
        out = {note.target for note in notes if note.kind == OPEN}
        for note in notes:
            if note.kind == OPEN:
                self._of(note.target).open_elsewhere(now + note.seconds, note.cause, now)
            else:
                self._cooldowns.note(note.target, note.kind, note.seconds, now)
        for name, health in self._targets.items():
            if name not in out:
                health.closed_elsewhere(now)

    def _rest(self, target: TargetName, kind: str, seconds: float, now: float) -> None:
        cooldown = self._cooldowns.note(target, kind, seconds, now)
        if cooldown is not None:
            self._shared.publish(Note(target, kind, cooldown.until - now))

    def _of(self, target: TargetName) -> TargetHealth:
        found = self._targets.get(target)
        if found is None:
            found = self._targets[target] = TargetHealth(self._terms)
        return found
