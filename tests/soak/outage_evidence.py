"""What was seen while things went away and came back, by phase: of the clients, and of the ledger."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.soak.bills import Booked, Peak
from tests.soak.clients import PICTURE, REFUSED, Call, Exchange
from tests.soak.load import Exceeded
from tests.soak.reconciled import Reconciled

EVENTS = (
    "killed_in_flight", "rebuild", "limit_state_unprovable", "settle_deferred", "lease_reaped",
    "ledger_unavailable", "settle_spooled", "settle_replayed", "settle_not_recorded", "target_opened",
    "late_answer", "client_gone_paid", "orphan_not_recorded", "result_not_recorded", "unhandled_error",
)  # fmt: skip
"""What the replicas log of such things."""


@dataclass(frozen=True, slots=True)
class Phase:
    """``cured``: when what had been away was back. Moments are the wall clock's."""

    name: str
    begun: float
    cured: float
    ended: float

    def has(self, at: float) -> bool:
        return self.begun <= at < self.ended


@dataclass(frozen=True, slots=True)
class Seen:
    """By the clients of one phase: those whose calls ended in it."""

    phase: Phase
    calls: int
    delivered: int
    refused: int
    """By a limit that has no room: wanted."""
    failed: Counter[str]
    """Outcome and kind of client."""
    sdk: tuple[int, int]
    """Calls of the SDKs that got their pictures, of how many."""
    p50: float | None
    p95: float | None
    retries: int
    failovers: int
    replays: int
    left: int
    last_failure: float | None
    """Seconds after the return at which the last call began that failed."""


@dataclass
class Evidence:
    """Everything that was seen and written down."""

    phases: Sequence[Phase]
    calls: Sequence[Call]
    wire: Sequence[Exchange]
    attempts: Sequence[Mapping[str, Any]]
    booked: Booked
    peaks: Sequence[Peak]
    exceeded: Sequence[Exceeded]
    looks: int
    decay: float | None
    unequal: Sequence[str]
    after: Reconciled
    drains: Sequence[float]
    nowhere: int
    logs: str
    seconds: float

    # -- what clients saw

    @cached_property
    def seen(self) -> Sequence[Seen]:
        return [self._seen(phase) for phase in self.phases]

    def _seen(self, phase: Phase) -> Seen:
        calls = [call for call in self.calls if phase.has(call.ended)]
        refused = [call for call in calls if call.outcome.partition(" ")[2] in REFUSED]
        failed = [call for call in calls if call.outcome != PICTURE and call not in refused]
        plain = sorted(call.seconds for call in calls if call.outcome == PICTURE and call.kind == "sdk")
        since = [call.at - phase.cured for call in failed if call.at >= phase.cured]
        of_sdk = [call for call in calls if call.kind == "sdk"]
        return Seen(
            phase,
            calls=len(calls),
            delivered=sum(call.outcome == PICTURE for call in calls),
            refused=len(refused),
            failed=Counter(f"{call.outcome} ({call.kind})" for call in failed),
            sdk=(sum(call.outcome == PICTURE for call in of_sdk), len(of_sdk)),
            p50=quantile(plain, 0.5),
            p95=quantile(plain, 0.95),
            retries=sum(exchange.again for exchange in self.wire if phase.has(exchange.at)),
            failovers=sum(1 for at in self._failovers if phase.has(at)),
            replays=sum(call.replayed for call in calls),
            left=sum(bool(call.left) for call in calls),
            last_failure=max(since, default=None),
        )

    @cached_property
    def _failovers(self) -> Sequence[float]:
        """When each attempt was sent that followed one at another provider."""
        providers: dict[tuple[str, int], str] = {
            (row["request_id"], row["ordinal"]): row["provider"] for row in self.attempts
        }
        return [
            row["dispatched_at"] / 1e6
            for row in self.attempts
            if providers.get((row["request_id"], row["ordinal"] - 1), row["provider"]) != row["provider"]
        ]

    # -- what the ledger says

    @cached_property
    def states(self) -> Sequence[tuple[str, Counter[str]]]:
        """Attempts by the phase in which they were sent, as they stand at the end."""
        return [
            (
                phase.name,
                Counter(row["state"] for row in self.attempts if phase.has(row["dispatched_at"] / 1e6)),
            )
            for phase in self.phases
        ]

    @cached_property
    def doubts(self) -> Mapping[tuple[str, str], Sequence[int]]:
        """Unknown attempts by the phase in which they became it and what was heard: how many, what they
        hold, how many were billed and for how much."""
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for doubt in self.booked.doubts:
            row = doubt.row
            at = (row["ended_at"] or row["dispatched_at"]) / 1e6
            phase = next((phase.name for phase in self.phases if phase.has(at)), "before and after")
            heard = f"{row['provider']}: {row['kind'] or 'nothing'}, {row['certainty'] or 'unsaid'}"
            one = sums[phase, heard]
            for place, amount in enumerate((1, row["hold_amount"], doubt.billed > 0, doubt.billed)):
                one[place] += amount
        return sums

    @cached_property
    def bought_twice(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """By number, the attempts of calls that were billed more than once."""
        billed = defaultdict(list)
        for row in sorted(self.attempts, key=lambda row: row["dispatched_at"]):
            if self.booked.bills_of.get(row["attempt_id"]):
                billed[str(row["number"])].append(row)
        return {number: rows for number, rows in billed.items() if len(rows) > 1}

    @cached_property
    def events(self) -> Counter[str]:
        return Counter(re.findall(rf'"event": ?"({"|".join(EVENTS)})"', self.logs))

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Number of a call → kind of its client."""
        return {str(call.number): call.kind for call in self.calls}


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """None where there is nothing."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None
