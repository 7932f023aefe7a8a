"""Every call that a provider billed beside the attempt that it was made for, one by one; and where limits
stood at every moment, replayed from the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.soak.accounts import NANO, bill_of, number_of, scopes, weight, window_of

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Doubt:
    """An attempt whose outcome nobody knows, and what it was billed by the provider's own record: 0 where it
    got no call of it."""

    row: Row
    billed: int


@dataclass(slots=True)
class Booked:
    """Amounts in nano-dollars. The lists are empty if all is well, but for ``doubts``."""

    billed: int = 0
    bills: int = 0
    settled: int = 0
    settlements: int = 0
    doubts: list[Doubt] = field(default_factory=list)
    unbooked: list[str] = field(default_factory=list)
    """Calls that were billed and are neither settled nor unknown."""
    unbilled: list[str] = field(default_factory=list)
    """Attempts that are settled without a call that was billed."""
    wrong: list[str] = field(default_factory=list)
    """Settled at another amount than was billed."""
    above: list[str] = field(default_factory=list)
    """Billed more than was held."""
    bills_of: dict[str, int] = field(default_factory=dict)
    """By attempt id."""


def book(calls: Mapping[str, Sequence[Row]], attempts: Sequence[Row]) -> Booked:
    """``calls`` by provider, as it recorded them. An answer that came names its attempt by the provider's
    request id; where none came, provider and number must do."""
    found = Booked()
    for provider, made in calls.items():
        open_bills = {_id(call["request_id"]): call for call in made if bill_of(call)}
        found.billed += sum(map(bill_of, open_bills.values()))
        found.bills += len(open_bills)
        rows = sorted(
            (row for row in attempts if row["provider"] == provider), key=lambda row: row["dispatched_at"]
        )
        silent = []
        for row in rows:
            call = open_bills.pop(_id(row["upstream_request_id"] or ""), None)
            if call is not None:
                _both(found, row, bill_of(call))
            else:
                silent.append(row)
        by_number = defaultdict(list)
        for call in open_bills.values():
            by_number[number_of(call)].append(call)
        for row in silent:
            if row["state"] == "settled":
                found.unbilled.append(f"{_words(row)} is settled at {row['cost']} without a bill")
            elif row["state"] in ("unknown", "dispatched"):
                bills = by_number[str(row["number"])]
                _both(found, row, bill_of(bills.pop(0)) if bills else 0)
        found.unbooked += [
            f"{provider}: number {number} was billed {bill_of(call)}, and no attempt has it"
            for number, bills in by_number.items()
            for call in bills
        ]
    for row in attempts:
        if row["state"] == "settled":
            found.settled += row["cost"]
            found.settlements += 1
    return found


def _both(found: Booked, row: Row, bill: int) -> None:
    found.bills_of[row["attempt_id"]] = bill
    if bill > (row["hold_amount"] or 0):
        found.above.append(f"{_words(row)} held {row['hold_amount']}, billed {bill}")
    match row["state"]:
        case "settled" if row["cost"] != bill:
            found.wrong.append(f"{_words(row)} is settled at {row['cost']}, billed {bill}")
        case "released":
            found.unbooked.append(f"{_words(row)} is released, billed {bill}")
        case "unknown" | "dispatched":
            found.doubts.append(Doubt(row, bill))


def daily(attempts: Sequence[Row], bills_of: Mapping[str, int], provider: str) -> dict[date, int]:
    """A provider's bill, by the days (UTC) on which its calls were sent."""
    sums: dict[date, int] = {}
    for row in attempts:
        if row["provider"] == provider:
            day = datetime.fromtimestamp(row["dispatched_at"] / 1e6, UTC).date()
            sums[day] = sums.get(day, 0) + bills_of.get(row["attempt_id"], 0)
    return sums


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that a limit's settled, held and unknown ever were together, in any of its windows."""

    limit: Mapping[str, Any]
    most: int
    amount: int

    @property
    def share(self) -> float:
        return self.most / self.amount


def peaks(organization: Mapping[str, Any], attempts: Sequence[Row]) -> Iterator[Peak]:
    """Of every dollar limit of every scope. An attempt weighs its hold from its admission to its end, and
    from then on what it is booked as."""
    for members, limit in scopes(organization, attempts):
        if "spend_usd" not in limit:
            continue
        events = defaultdict(list)
        for row in members:
            window = events[window_of(limit, row["admitted_at"])]
            window.append((row["admitted_at"] // 1000, row["hold_amount"]))
            if row["ended_at"] is not None:
                # What an end gives back comes before what the same millisecond takes.
                window.append((row["ended_at"] // 1000, weight(row) - row["hold_amount"]))
        most = 0
        for window in events.values():
            total = 0
            for _, change in sorted(window):
                total += change
                most = max(most, total)
        yield Peak(limit, most, int(Decimal(limit["spend_usd"]) * NANO))


def _id(request_id: str) -> str:
    """Azure tells the same number as a UUID."""
    return request_id.removeprefix("req_").replace("-", "")


def _words(row: Row) -> str:
    return f"{row['attempt_id']} (number {row['number']}, {row['provider']})"
