"""The ledger beside a provider's bill, day by day and model by model, and what that says of unknown attempts.

A day is one in UTC, as providers count, and an attempt lies on the day on which it was sent. ``delta`` is
theirs less what is settled here. Where a day and model has unknown attempts, the delta may be what they cost:

* about nothing (within the tolerance): they were not charged, and are released;
* about what they were expected to cost: each is settled at that (where both fit, the nearer is taken);
* anything else up to that, or beyond it up to all that they held: the delta is shared out exactly, in
  proportion to what each was expected to cost (beyond: to what each held), as nobody can tell them apart;
* less than nothing, or more than they held: they do not explain it, and nothing is resolved.

Nothing is resolved either while calls of that day and model still run, where one was settled without a
price, or on a day that the bill does not mention. What is resolved carries the flag ``reconciled`` and stands
in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, String, case, func, literal, select, type_coerce, update

from gateway.errors import InvalidRequest
from gateway.ledger import horizon, touched
from gateway.ledger.accounts import journal
from gateway.ledger.accounts.model_names import ModelNames
from gateway.ledger.records import NANO, AttemptState, NanoDollars
from gateway.ledger.tables import BigInt, attempts, requests

FLAG = "reconciled"
_DAY = timedelta(days=1)
_DAY_MICROS = 86_400_000_000
_BEFORE = timedelta(hours=1)
"""How long before it was sent the request of an attempt may have been received."""


CENT = NanoDollars(NANO // 100)


class Verdict(StrEnum):
    AGREES = "agrees"
    EXPLAINED = "explained"
    """The unknown attempts explain the difference; ``--resolve`` settles them."""
    RESOLVED = "resolved"
    DIFFERS = "differs"
    RUNNING = "running"
    """Calls have not ended, so the difference may be theirs."""
    UNPRICED = "unpriced"
    """Calls were settled without a price, so the difference may be theirs."""
    NOT_BILLED = "not_billed"
    """The bill says nothing of this day, which is not to say that it cost nothing."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A difference up to the larger of the two is none."""

    amount: NanoDollars = CENT
    share: Decimal = Decimal("0.005")

    def covers(self, delta: int, theirs: int) -> bool:
        return abs(delta) <= max(self.amount, int(abs(theirs) * self.share))


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An unknown attempt. Amounts None: not known."""

    attempt_id: str
    expected: NanoDollars | None
    held: NanoDollars | None


@dataclass(slots=True)
class Ours:
    """What the ledger has of one day and model."""

    settled: int = 0
    running: int = 0
    unpriced: int = 0
    doubtful: list[Doubtful] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    day: date
    model: str
    ours: int
    theirs: int
    unknown: int
    """What the unknown attempts were expected to cost."""
    unknown_lines: int
    verdict: Verdict
    resolution: Mapping[str, NanoDollars | None] = field(default_factory=dict)
    """Attempt id → what it is found to have cost; None: it was not charged."""

    @property
    def delta(self) -> int:
        return self.theirs - self.ours


def judge(day: date, model: str, ours: Ours, theirs: int, tolerance: Tolerance) -> Comparison:
    """Pure: what a day and model comes to."""
    delta = theirs - ours.settled
    likely = [each.expected if each.expected is not None else each.held for each in ours.doubtful]
    found = Comparison(
        day, model, ours.settled, theirs, sum(x or 0 for x in likely), len(likely), Verdict.AGREES
    )
    close = tolerance.covers(delta, theirs)
    if ours.running or ours.unpriced:
        waits = Verdict.RUNNING if ours.running else Verdict.UNPRICED
        return found if close and not ours.doubtful else replace(found, verdict=waits)
    if not ours.doubtful:
        return found if close else replace(found, verdict=Verdict.DIFFERS)
    resolution = explain(delta, ours.doubtful, lambda rest: tolerance.covers(rest, theirs))
    if resolution is None:
        return replace(found, verdict=Verdict.AGREES if close else Verdict.DIFFERS)
    return replace(found, verdict=Verdict.EXPLAINED, resolution=resolution)


def explain(
    delta: int, doubtful: Sequence[Doubtful], is_nothing: Callable[[int], bool]
) -> dict[str, NanoDollars | None] | None:
    """What each unknown attempt cost, if the delta is theirs; None: it is not. See the module's text."""
    likely = [each.expected if each.expected is not None else each.held for each in doubtful]
    weights = [amount or 0 for amount in likely]
    rest = delta - sum(weights)
    # A small call may cost less than the tolerance: then the nearer of the two is believed.
    if is_nothing(delta) and (None in likely or abs(delta) < abs(rest)):
        return {each.attempt_id: None for each in doubtful}
    if delta < 0 or None in likely:
        return None
    if is_nothing(rest):
        return {each.attempt_id: NanoDollars(weight) for each, weight in zip(doubtful, weights, strict=True)}
    if delta > sum(weights):
        weights = [each.held or 0 for each in doubtful]
        if delta > sum(weights):
            return None
    shares = share_out(delta, weights)
    return {each.attempt_id: NanoDollars(share) for each, share in zip(doubtful, shares, strict=True)}


def share_out(amount: int, weights: Sequence[int]) -> list[int]:
    """``amount`` in proportion to the weights, to the last nano-dollar; none gets more than its weight while
    the amount is not more than all of them. The largest remainders get what rounding leaves."""
    total = sum(weights)
    shares = [amount * weight // total for weight in weights]
    remainders = sorted(range(len(weights)), key=lambda at: (-(amount * weights[at] % total), at))
    for at in remainders[: amount - sum(shares)]:
        shares[at] += 1
    return shares


def compare(
    connection: Connection,
    provider: str,
    days: Sequence[date],
    theirs: Mapping[tuple[date, str], int],
    tolerance: Tolerance,
    names: ModelNames,
    *,
    billed: Collection[date],
    lock: bool = False,
) -> list[Comparison]:
    """Every day and model that either side knows, in order. ``names`` makes the names of a model one, and
    says which are left out; ``billed`` are the days that the bill is about. ``lock``: the transaction goes
    on to :func:`resolve`."""
    _check_there(connection, days)
    ours = _ours(connection, provider, days, names.one, lock=lock)
    bill: dict[tuple[date, str], int] = {}
    used = {model for _, model in ours}
    for (day, model), amount in theirs.items():
        place = (day, names.one(model))
        if place[1] in used or names.is_known(model):
            bill[place] = bill.get(place, 0) + amount
    places = sorted({*ours, *(place for place, amount in bill.items() if amount)})
    return [
        _in_bill(judge(*place, ours.get(place, Ours()), bill.get(place, 0), tolerance), billed)
        for place in places
        if place[0] in days
    ]


def _check_there(connection: Connection, days: Sequence[date]) -> None:
    """Raises :class:`InvalidRequest` for a day whose rows are gone: it would look as if nothing was spent."""
    begin = horizon.rows_from(connection)
    if begin is not None and days and datetime.combine(min(days), time(), UTC) < begin:
        raise InvalidRequest(
            f"The ledger's rows from before {begin:%Y-%m-%d %H:%M} UTC were removed, as "
            "storage.retention.ledger says. The exports of their months have them.",
            param="days",
        )


def _in_bill(found: Comparison, billed: Collection[date]) -> Comparison:
    if found.day in billed:
        return found
    return replace(found, verdict=Verdict.NOT_BILLED, resolution={})


def resolve(
    connection: Connection,
    key: bytes,
    provider: str,
    found: Sequence[Comparison],
    source: str,
    entered_by: str,
    now: datetime,
) -> list[Comparison]:
    """Settle or release what the comparisons explain, in the transaction in which they were made; returns
    them as they stand then."""
    journal.lock(connection)
    return [
        _resolved(connection, key, provider, each, source, entered_by, now)
        if each.verdict is Verdict.EXPLAINED
        else each
        for each in found
    ]


def _resolved(
    connection: Connection,
    key: bytes,
    provider: str,
    found: Comparison,
    source: str,
    entered_by: str,
    now: datetime,
) -> Comparison:
    flag = literal(FLAG, String)
    flags = case((attempts.c.flags.is_(None), flag), else_=attempts.c.flags + literal(",", String) + flag)
    done: dict[str, NanoDollars | None] = {}
    for attempt_id, cost in found.resolution.items():
        state = AttemptState.RELEASED if cost is None else AttemptState.SETTLED
        changed = connection.execute(
            update(attempts)
            .where(attempts.c.attempt_id == attempt_id, attempts.c.state == AttemptState.UNKNOWN)
            .values(state=str(state), cost=cost or 0, flags=flags, ended_at=now)
        )
        if changed.rowcount:
            done[attempt_id] = cost
    touched.by_batch(connection, ended=list(done))
    body = {
        "provider": provider,
        "day": found.day.isoformat(),
        "model": found.model,
        "ours": found.ours,
        "theirs": found.theirs,
        "source": source,
        "attempts": done,
    }
    journal.enter(connection, key, now, entered_by, "reconcile", body)
    ours = found.ours + sum(cost or 0 for cost in done.values())
    return replace(found, ours=ours, unknown=0, unknown_lines=0, verdict=Verdict.RESOLVED, resolution=done)


def _ours(
    connection: Connection, provider: str, days: Sequence[date], name: Callable[[str], str], *, lock: bool
) -> dict[tuple[date, str], Ours]:
    start, end = _midnight(min(days)), _midnight(max(days) + _DAY)
    sent = type_coerce(attempts.c.dispatched_at, BigInt)
    day = (sent // literal(_DAY_MICROS, BigInt)).label("day")
    of_provider = (
        attempts.c.request_id == requests.c.request_id,
        requests.c.received_at >= start - _BEFORE,
        requests.c.received_at < end,
        attempts.c.dispatched_at >= start,
        attempts.c.dispatched_at < end,
        attempts.c.provider == provider,
    )
    settled = attempts.c.state == AttemptState.SETTLED
    sums = (
        select(
            day,
            attempts.c.upstream_model.label("model"),
            func.sum(case((settled, func.coalesce(attempts.c.cost, 0)), else_=0)).label("settled"),
            func.sum(case((attempts.c.state == AttemptState.DISPATCHED, 1), else_=0)).label("running"),
            func.sum(case((settled & attempts.c.cost.is_(None), 1), else_=0)).label("unpriced"),
        )
        .where(*of_provider)
        .group_by(day, attempts.c.upstream_model)
    )
    found: dict[tuple[date, str], Ours] = {}
    for row in connection.execute(sums):
        ours = found.setdefault((_date(row.day), name(row.model)), Ours())
        ours.settled += int(row.settled)
        ours.running += int(row.running)
        ours.unpriced += int(row.unpriced)
    unknown = (
        select(day, attempts)
        .where(*of_provider, attempts.c.state == AttemptState.UNKNOWN)
        .order_by(attempts.c.attempt_id)
    )
    if lock:
        # A late answer waits for us, or we for it. SQLite has one writer anyway.
        unknown = unknown.with_for_update(of=attempts)
    for each in connection.execute(unknown):
        place = (_date(each.day), name(each.upstream_model))
        doubtful = Doubtful(each.attempt_id, each.expected, each.hold_amount)
        found.setdefault(place, Ours()).doubtful.append(doubtful)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _date(number: Any) -> date:
    return date(1970, 1, 1) + timedelta(days=int(number))
