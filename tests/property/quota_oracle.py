"""The accounting of holds as dictionaries: no counters, only attempts, summed anew for every question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from gateway.quota.holds import State
from gateway.quota.store import SLACK_MS
from gateway.quota.terms import Kind, Limit, Measure
from gateway.quota.windows import ROLLING_MS, Calendar, from_ms

MINUTE = 60_000


@dataclass
class Entry:
    """One amount of one attempt under one limit's counter."""

    kind: Kind
    measure: Measure
    amount: int
    window: str
    rate: int = 0


@dataclass
class Attempt:
    state: State
    admitted: int
    lease: int
    lease_ms: int
    entries: dict[str, Entry]
    actual: Mapping[Measure, int] = field(default_factory=dict)
    counted: bool = False
    """Whether it was ever sent, so that its requests and images count for good."""
    ends: int = 0
    has_place: bool = True
    """Among those that run, which a store forgets when it finds the lease long over."""

    def beat(self, now: int) -> None:
        self.lease, self.has_place = now + self.lease_ms, True


@dataclass
class Oracle:
    calendar: Calendar = field(default_factory=Calendar)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    debts: dict[str, tuple[Fraction, int]] = field(default_factory=dict)

    def window(self, limit: Limit, now: int) -> str:
        if limit.kind is Kind.WINDOW:
            return self.calendar.window(limit.per or "total", from_ms(now)).id
        if limit.kind is Kind.ROLLING:
            return str(now // (ROLLING_MS[limit.per or ""] // 60))
        return ""

    def used(self, limit: Limit, now: int) -> tuple[int, int, int]:
        """Settled, held, unknown."""
        if limit.kind is Kind.RATE:
            debt = self.debt(limit.counter, limit.amount, now)
            return (-(-debt.numerator // debt.denominator), 0, 0)
        sums = [0, 0, 0]
        for attempt in self.attempts.values():
            entry = attempt.entries.get(limit.counter + limit.kind)
            entry = entry or attempt.entries.get(limit.counter + limit.kind + self.window(limit, now))
            if entry is None or not self._counts(entry, limit, now):
                continue
            where, amount = self._where(attempt, entry, now)
            if where is not None:
                sums[where] += amount
        return (sums[0], sums[1], sums[2])

    def _counts(self, entry: Entry, limit: Limit, now: int) -> bool:
        current = self.window(limit, now)
        if limit.kind is Kind.ROLLING:
            return int(entry.window) >= int(current) - 60
        return entry.window == current

    def _where(self, attempt: Attempt, entry: Entry, now: int) -> tuple[int | None, int]:
        state = attempt.state
        if entry.kind is Kind.CONCURRENT:
            if attempt.lease <= now - SLACK_MS:
                attempt.has_place = False  # for good: the clock may be set back
            running = state in (State.HELD, State.DISPATCHED) and attempt.has_place
            return (1, 1) if running else (None, 0)
        if entry.measure in (Measure.REQUESTS, Measure.IMAGES):
            if attempt.counted:
                return 0, entry.amount
            return (1, entry.amount) if state is State.HELD else (None, 0)
        if state is State.SETTLED:
            return 0, attempt.actual.get(entry.measure, entry.amount)
        if state is State.RELEASED:
            return None, 0
        return (2 if state is State.UNKNOWN else 1), entry.amount

    def debt(self, counter: str, rate: int, now: int) -> Fraction:
        debt, since = self.debts.get(counter, (Fraction(0), now))
        return max(debt - Fraction(rate * max(now - since, 0), MINUTE), Fraction(0))

    def binding(self, wishes: Sequence[tuple[Limit, int]], now: int, *, shadow: bool) -> list[Limit]:
        """The limits that have no room for what is needed of them."""
        found = []
        for limit, need in wishes:
            if limit.shadow is not shadow or need == 0:
                continue
            if limit.kind is Kind.RATE:
                over = self.debt(limit.counter, limit.amount, now) + need > limit.amount
            else:
                over = sum(self.used(limit, now)) + need > limit.amount
            if over:
                found.append(limit)
        return found

    def admit(self, rid: str, wishes: Sequence[tuple[Limit, int]], now: int, lease_ms: int) -> None:
        entries = {}
        for limit, amount in wishes:
            window = self.window(limit, now)
            entry = Entry(limit.kind, limit.measure, amount, window, limit.amount)
            entries[limit.counter + limit.kind] = entry
        self.attempts[rid] = Attempt(State.HELD, now, now + lease_ms, lease_ms, entries)

    def pay_rates(self, wishes: Sequence[tuple[Limit, int]], now: int, skip: Sequence[Limit]) -> None:
        for limit, need in wishes:
            if limit.kind is Kind.RATE and limit not in skip and need:
                self.debts[limit.counter] = (self.debt(limit.counter, limit.amount, now) + need, now)

    def dispatch(self, rid: str, now: int) -> bool:
        attempt = self.attempts.get(rid)
        if attempt is None or attempt.state is not State.HELD:
            return False
        attempt.state, attempt.counted = State.DISPATCHED, True
        attempt.beat(now)
        return True

    def end(
        self,
        rid: str,
        state: State,
        now: int,
        actual: Mapping[Measure, int] | None = None,
        *,
        ledger: bool = False,
    ) -> bool:
        """Whether it changed anything. Unseen attempts are the ledger's own affair here."""
        attempt = self.attempts.get(rid)
        if attempt is None or attempt.state in (State.SETTLED, State.RELEASED, state):
            return False
        if state is State.SETTLED and attempt.state is State.HELD and not ledger:
            return False
        before, attempt.state = attempt.state, state
        attempt.actual = actual or {}
        attempt.counted = attempt.counted or state in (State.SETTLED, State.UNKNOWN)
        attempt.ends += state.terminal
        for key, entry in attempt.entries.items():
            if entry.kind is Kind.RATE:
                self._correct(key[:-1], entry, attempt, before, now)
        return True

    def _correct(self, counter: str, entry: Entry, attempt: Attempt, before: State, now: int) -> None:
        unused = 0
        settles = entry.measure is Measure.TOKENS
        if attempt.state is State.RELEASED and (before is State.HELD or settles):
            unused = entry.amount
        elif attempt.state is State.SETTLED and settles:
            unused = entry.amount - attempt.actual.get(entry.measure, entry.amount)
        if unused == 0 or (unused > 0 and counter.endswith("|shadow")):
            return
        debt = self.debt(counter, entry.rate, now)
        if unused > 0:
            decayed = Fraction(entry.rate * max(now - attempt.admitted, 0), MINUTE)
            debt = max(debt - max(unused - decayed, Fraction(0)), Fraction(0))
        else:
            debt -= unused
        self.debts[counter] = (debt, now)
