"""The ledger as the keeper of limits needs it (:class:`gateway.quota.keeper.Record`), and holds as its rows.

Sums are told for the counters of all limits in force (``counters.py``), and open attempts with the counters
of limits that came after them. Rates start empty after a rebuild: at most one more minute's amount is let
through. Concurrency comes from the open attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from gateway.engine.counters import (
    OpenWindow,
    Place,
    Rule,
    by_place,
    credited_lines,
    lines,
    open_lines,
    windows,
)
from gateway.images.amounts import NanoDollars
from gateway.ledger.accounts.credits import Given
from gateway.ledger.counted import Counted, used_tokens
from gateway.ledger.epochs import EpochRow
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt
from gateway.ledger.snapshot import OpenAttempt, Standing
from gateway.ledger.unknowns import Resolved, UnknownPolicy
from gateway.quota.clock import wall_clock
from gateway.quota.holds import Amounts, Hold, Line, State, load
from gateway.quota.keeper import Account
from gateway.quota.of_settings import names_of, nobody
from gateway.quota.outcomes import LEASE_MS, Credits, Epoch, OpenHold, Verdict
from gateway.quota.terms import Kind, Measure
from gateway.quota.windows import Calendar, from_ms, to_ms


def with_hold(
    attempt: NewAttempt,
    hold: Hold | None,
    *,
    amount: NanoDollars | None = None,
    tokens: int | None = None,
    expected: NanoDollars | None = None,
) -> NewAttempt:
    """The intent row of an attempt that holds ``hold`` (None: no limit applies). The amounts are those that
    were reserved, whether or not a limit counts them; None where they are not known."""
    if hold is not None:
        attempt = replace(attempt, hold=hold.dump(), epoch=hold.epoch, admitted_at=from_ms(hold.admitted))
    return replace(attempt, hold_amount=amount, hold_tokens=tokens, expected=expected)


def actual(end: AttemptEnd) -> Amounts:
    """What to settle a hold at: the same that the ledger's sums will say of this end."""
    tokens = None if end.usage is None else used_tokens(end.usage)
    return _amounts(end.charge.cost if end.charge else None, tokens)


_NOBODY = names_of(nobody("", "", None)).end_user or ""
"""The digest under which calls count that name no end user."""

Row = TypeVar("Row", Counted, OpenAttempt)


def _as_asked(model: str) -> str:
    return model


class LedgerRecord:
    """``rules`` are those of all limits that are in force or on trial now, rates and concurrency left out;
    ``calendar`` is the store's. ``name_of`` gives the one name under which a model is counted (aliases).
    ``clock`` is ours, ms since 1970."""

    def __init__(
        self,
        ledger: Ledger,
        rules: Callable[[], Iterable[Rule]],
        calendar: Callable[[], Calendar],
        *,
        name_of: Callable[[str], str] = _as_asked,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._name_of = name_of
        self._ledger = ledger
        self._rules = rules
        self._calendar = calendar
        self._clock = clock

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
        return _epoch(await self._ledger.begin_epoch(run_id, seen))

    async def epoch(self) -> Epoch | None:
        """The one in force, for a store that asks (``gateway.quota.redis.EpochSource``)."""
        row = await self._ledger.epoch()
        return None if row is None else _epoch(row)

    async def lapse(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        return _verdicts(await self._ledger.lapse(rids))

    async def account(self, rids: Sequence[str], before: int | None) -> Account:
        now = self._clock() if before is None else before
        calendar = self._calendar()
        rules = self._summed()
        asked = windows(rules, calendar, now)
        moment = None if before is None else from_ms(before)
        found = await self._ledger.snapshot(rids, moment, [window.span for window in asked])
        told: dict[tuple[str, str], Line] = {}
        for window, sums in zip(asked, found.sums, strict=True):
            for line in lines(window, [self._named(each) for each in sums]):
                told[line.key, line.slot] = line
        each = by_place(rules)
        holds = (
            _open_hold(self._named(attempt), each, calendar, new=before is None) for attempt in found.open
        )
        return Account(
            _verdicts(found.standings),
            list(told.values()),
            [x for x in holds if x is not None],
            self._credits(asked, found.given),
        )

    async def credits(self) -> Credits:
        asked = windows(self._summed(), self._calendar(), self._clock())
        return self._credits(asked, await self._ledger.accounts.given([window.span for window in asked]))

    def _summed(self) -> list[Rule]:
        return [rule for rule in self._rules() if rule.kind in (Kind.WINDOW, Kind.ROLLING)]

    def _credits(self, asked: Sequence[OpenWindow], given: Given) -> Credits:
        told: dict[tuple[str, str], Line] = {}
        for window, sums in zip(asked, given.sums, strict=True):
            for line in credited_lines(window, sums, self._name_of):
                told[line.key, line.slot] = line
        return Credits(given.entries, list(told.values()))

    def _named(self, row: Row) -> Row:
        """The row as admission counts it: an alias under its model's name, and calls without an end user as
        those of one end user."""
        return replace(row, model=self._name_of(row.model), end_user_digest=row.end_user_digest or _NOBODY)

    async def resolve(self, older_than: timedelta, policy: UnknownPolicy) -> Sequence[Resolved]:
        """Ends old open attempts by policy. The drift check tells the store within a minute."""
        return await self._ledger.resolve_unknown(older_than, policy)


def _epoch(row: EpochRow) -> Epoch:
    return Epoch(row.number, row.run_id, row.ledger)


def _verdicts(standings: Mapping[str, Standing]) -> dict[str, Verdict]:
    return {
        rid: Verdict(State(each.state.value), _amounts(each.cost, each.tokens))
        if each.state is AttemptState.SETTLED
        else Verdict(State(each.state.value), sent=each.sent)
        for rid, each in standings.items()
    }


def _amounts(cost: int | None, tokens: int | None) -> dict[Measure, int]:
    known = {Measure.SPEND: cost, Measure.TOKENS: tokens}
    return {measure: amount for measure, amount in known.items() if amount is not None}


def _open_hold(
    attempt: OpenAttempt, rules: Mapping[Place, Sequence[Rule]], calendar: Calendar, *, new: bool
) -> OpenHold | None:
    """The attempt with what it held and with the counters of limits that came after it. One that held nothing
    is told only for a ``new`` building: its own replica does not watch it."""
    if attempt.hold is None and not new:
        return None
    admitted = to_ms(attempt.admitted_at)
    hold = load(attempt.hold) if attempt.hold else Hold(attempt.attempt_id, admitted, LEASE_MS, ())
    have = {(line.key, line.slot) for line in hold.lines}
    held = list(hold.lines)
    for line in open_lines(attempt, rules, calendar):
        if (line.key, line.slot) not in have:
            have.add((line.key, line.slot))
            held.append(line)
    if not held:
        return None
    return OpenHold(replace(hold, lines=tuple(held)), State(attempt.state.value))
