"""The course of one request over its targets: which is tried now, and what follows when it fails.

It joins what this room knows (order, health, retry budgets, ``decide``) and does no I/O, so that the engine
and the simulation in ``bench/failover.py`` go the same way::

    course = Course(order, policy, watch, budgets, ends_at=..., dice=...)
    attempt = course.start(now)                      None: nothing may be called now
    while attempt is not None:
        ... call the target for at most attempt.seconds ...
        course.succeeded(attempt, now)               then course.cost(attempt, nano, now)
        decision = course.failed(attempt, failure, now)
        ... wait decision.wait ...
        attempt = course.go_on(now)                  None: it ends here
    course.client_may_retry                          x-should-retry
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.routing.decision import WORTHWHILE, Because, Decision, Situation, Step, client_may_retry, decide
from gateway.routing.failure import Failure
from gateway.routing.health import Ticket
from gateway.routing.policy import Policy
from gateway.routing.retry_budget import RetryCount, RetrySpend
from gateway.routing.selection import Order, Ranked
from gateway.routing.watch import Change, Watch
from providers.base import Certainty, Kind

NOTHING_TRIED = Decision(Step.STOP, Because.TRIED_ALL)


class Budgets:
    """What may be tried again. One per process."""

    def __init__(self, *, count: Decimal, spend: Decimal) -> None:
        self.count = RetryCount(count)
        self.spend = RetrySpend(spend)

    def reconfigured(self, *, count: Decimal, spend: Decimal) -> None:
        self.count.reconfigured(count)
        self.spend.reconfigured(spend)


@dataclass(slots=True, eq=False)
class Attempt:
    """One call to make. ``seconds`` is how long it may take; ``is_extra`` that an earlier one of this request
    may have been paid for."""

    ranked: Ranked
    ticket: Ticket
    seconds: float
    is_extra: bool = False
    taken: Callable[[int, float], None] | None = None
    """What it took of the retry budget, to be corrected by what it cost."""


@dataclass(slots=True)
class Course:
    """``ends_at`` is the request's deadline on the caller's clock, ``dice`` gives numbers in [0, 1)."""

    order: Order
    policy: Policy
    watch: Watch
    budgets: Budgets
    ends_at: float
    dice: Callable[[], float]
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    ended: Decision = NOTHING_TRIED
    change: Change | None = None
    """What the last end did to its target's health."""
    _left: list[Ranked] = field(default_factory=list)
    _following: Ranked | None = None

    def start(self, now: float) -> Attempt | None:
        """The first attempt; None where every target was taken out or cools."""
        self._left = list(self.order.ranked)
        first = self._next_usable(now)
        if first is None:
            return None
        self._left.remove(first)
        return self._begin(first, now)

    def succeeded(
        self, attempt: Attempt, now: float, *, seconds: float | None = None, pictures: int = 1
    ) -> None:
        """``seconds`` and ``pictures`` as in :meth:`Watch.succeeded`."""
        contender = attempt.ranked.contender
        self.change = self.watch.succeeded(
            contender.name, attempt.ticket, contender.shape, now, seconds=seconds, pictures=pictures
        )

    def cost(self, attempt: Attempt, nano: int, now: float) -> None:
        """What an attempt was settled at; 0 where it was released. Those of unknown outcome are not told."""
        self._correct(attempt, nano, now)
        if nano:
            self.budgets.spend.settled(nano, now)

    def not_sent(self, attempt: Attempt, now: float) -> None:
        """The attempt was not made after all: no room under a limit, or the client has gone."""
        self.watch.abandon(attempt.ranked.contender.name, attempt.ticket)
        self._correct(attempt, 0, now)

    def instead(self, attempt: Attempt, now: float, fits: Callable[[Ranked], bool]) -> Attempt | None:
        """The attempt found no room under a limit and was not made: the next target that ``fits``, in its
        place; None where there is none."""
        self.not_sent(attempt, now)
        following = next((each for each in self._usable(now) if fits(each)), None)
        if following is None:
            return None
        self.attempts.remove(attempt)
        self._left.remove(following)
        return self._begin(following, now)

    def failed(
        self, attempt: Attempt, failure: Failure, now: float, *, other_key: bool = False, drill: bool = False
    ) -> Decision:
        """Wait as long as the decision says before :meth:`go_on`. ``other_key``: it was a key of the account
        that was refused or limited, and there is another; ``drill``: nobody was called. Neither says anything
        of the target's health."""
        here = attempt.ranked.contender
        if other_key or drill:
            self.change = None
            self.watch.abandon(here.name, attempt.ticket)
        else:
            self.change = self.watch.failed(here.name, attempt.ticket, failure, now)
        self.failures.append(failure)
        other = self._next_usable(now)
        alone = other is None and len({each.ranked.contender.name for each in self.attempts}) == 1
        following = other or attempt.ranked
        decision = decide(
            failure,
            self.policy.on_failure,
            Situation(
                attempts=len(self.attempts),
                max_attempts=self.policy.max_attempts,
                others=0 if other is None else 1,
                alone=alone,
                remaining=self.ends_at - now,
                paid_before=any(before.may_be_paid for before in self.failures[:-1]),
                count_left=self.budgets.count.allows(here.provider, following.contender.provider, now),
                money_left=self.budgets.spend.allows(following.contender.price, now),
                other_key=other_key,
                jitter=self.dice(),
            ),
        )
        self.ended = decision
        chosen = attempt.ranked if decision.step is Step.SAME_AGAIN else following
        self._following = None if decision.step is Step.STOP else chosen
        return decision

    def go_on(self, now: float) -> Attempt | None:
        """The attempt that was decided on; None where it was decided to stop."""
        following, self._following = self._following, None
        if following is None:
            return None
        if following in self._left:
            self._left.remove(following)
        failed = self.attempts[-1].ranked.contender.provider
        self.budgets.count.further(failed, following.contender.provider, now)
        return self._begin(following, now)

    def to_fill(self, now: float, fits: Callable[[Ranked], bool]) -> Attempt | None:
        """Another target for the pictures that an answer lacks, as far as attempts, time and retry budgets
        go; None where there is none."""
        here = self.attempts[-1].ranked.contender.provider
        following = next((each for each in self._usable(now) if fits(each)), None)
        if following is None or len(self.attempts) >= self.policy.max_attempts:
            return None
        there = following.contender
        if self.ends_at - now < WORTHWHILE or not self.budgets.count.allows(here, there.provider, now):
            return None
        if not self.budgets.spend.allows(there.price, now):
            return None
        self._left.remove(following)
        self.budgets.count.further(here, there.provider, now)
        return self._begin(following, now, is_extra=True)

    @property
    def client_may_retry(self) -> bool | None:
        """``x-should-retry``, once it has failed; None: not said."""
        alone = len({each.ranked.contender.name for each in self.attempts}) <= 1 and not self._left
        return client_may_retry(self.failures, alone=alone, ended=self.ended)

    def _correct(self, attempt: Attempt, nano: int, now: float) -> None:
        if attempt.taken is not None:
            attempt.taken(nano, now)
            attempt.taken = None

    def _begin(self, ranked: Ranked, now: float, *, is_extra: bool = False) -> Attempt:
        contender = ranked.contender
        is_extra = is_extra or any(failure.may_be_paid for failure in self.failures)
        silence = self.policy.on_failure.after(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)
        more = len(self.attempts) + 1 < self.policy.max_attempts and (self._left or not self.attempts)
        if not any(before.ranked.contender.provider == contender.provider for before in self.attempts):
            self.budgets.count.first(contender.provider, now)
        attempt = Attempt(
            ranked,
            self.watch.begin(contender.name, now),
            self.watch.attempt_seconds(
                contender.name,
                contender.shape,
                self.ends_at - now,
                now,
                may_follow=bool(more) and silence == "next",
            ),
            is_extra,
            self.budgets.spend.take(contender.price, now) if is_extra else None,
        )
        self.attempts.append(attempt)
        return attempt

    def _next_usable(self, now: float) -> Ranked | None:
        return next(self._usable(now), None)

    def _usable(self, now: float) -> Iterator[Ranked]:
        return (
            each for each in self._left if self.watch.may_begin(each.contender.name, now, forced=each.forced)
        )
