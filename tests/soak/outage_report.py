"""What came of the outages: tables of what clients saw and of what the ledger says, and a verdict on each
promise."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from tests.soak.outage_evidence import Evidence, quantile
from tests.soak.outage_promises import Verdict, about_money, about_service, usd


@dataclass
class Report:
    evidence: Evidence

    @property
    def clean(self) -> bool:
        """Whether every promise about money was kept."""
        return all(verdict.kept for verdict in self.verdicts if verdict.money)

    @cached_property
    def verdicts(self) -> Sequence[Verdict]:
        return [*about_money(self.evidence), *about_service(self.evidence)]

    def __str__(self) -> str:
        evidence = self.evidence
        made = f"{len(evidence.calls)} calls of clients, {len(evidence.attempts)} attempts"
        return "\n".join(
            [
                f"{made} in {evidence.seconds:.0f} s",
                "",
                "What clients saw",
                *self._clients_table(),
                "",
                "Calls that failed",
                *self._failures_table(),
                "",
                "Answers on the wire that were no pictures, the SDK's repetitions included",
                *self._wire_table(),
                "",
                "What the ledger says: attempts by the phase in which they were sent",
                *self._states_table(),
                "",
                "Unknown attempts, by the phase in which they became unknown and the reason",
                *self._doubts_table(),
                "",
                "Money",
                *self._money(),
                "",
                "What the replicas logged",
                "  "
                + (
                    ", ".join(f"{name} {count}" for name, count in self.evidence.events.most_common())
                    or "nothing"
                ),
                "",
                "Promises",
                *self._promises(),
                *self._problems(),
            ]
        )

    def _clients_table(self) -> Iterator[str]:
        first = self.evidence.seen[0] if self.evidence.seen else None
        p50, p95 = (first.p50, first.p95) if first else (None, None)
        head = (
            "", "s", "away", "calls", "pictures", "no room", "failed", "by SDK", "SDK's retries", "p50",
            "p95", "failovers", "left", "replayed", "last failure",
        )  # fmt: skip
        rows = []
        for seen in self.evidence.seen:
            phase = seen.phase
            rows.append((
                phase.name, f"{phase.ended - phase.begun:.0f}", f"{phase.cured - phase.begun:.1f}",
                seen.calls, seen.delivered, seen.refused, seen.failed.total(),
                f"{seen.sdk[0]}/{seen.sdk[1]}", seen.retries,
                _beside(seen.p50, p50), _beside(seen.p95, p95),
                seen.failovers, seen.left, seen.replays,
                "" if seen.last_failure is None else f"+{seen.last_failure:.1f} s",
            ))  # fmt: skip
        return _table(head, rows)

    def _failures_table(self) -> Iterator[str]:
        for seen in self.evidence.seen:
            if seen.failed:
                told = ", ".join(f"{outcome} x{count}" for outcome, count in seen.failed.most_common())
                yield f"  {seen.phase.name}: {told}"

    def _wire_table(self) -> Iterator[str]:
        rows = []
        for phase in self.evidence.phases:
            said: dict[str, list[float]] = defaultdict(list)
            for each in self.evidence.wire:
                if phase.has(each.at + each.seconds) and each.said not in ("200", "left"):
                    said[each.said].append(each.seconds)
            for words, seconds in sorted(said.items()):
                half = quantile(sorted(seconds), 0.5) or 0
                rows.append((phase.name, words, len(seconds), f"{half:.2f}", f"{max(seconds):.2f}"))
        return _table(("", "answer", "times", "p50 s", "longest s"), rows)

    def _states_table(self) -> Iterator[str]:
        names = ("settled", "released", "unknown", "dispatched")
        rows = [(phase, *(states[name] for name in names)) for phase, states in self.evidence.states]
        total = Counter(row["state"] for row in self.evidence.attempts)
        return _table(("", *names), [*rows, ("all", *(total[name] for name in names))])

    def _doubts_table(self) -> Iterator[str]:
        rows = [
            (phase, heard, number, usd(held), bills, usd(billed))
            for (phase, heard), (number, held, bills, billed) in self.evidence.doubts.items()
        ]
        return _table(("", "what was heard", "attempts", "held", "billed", "billed for"), rows)

    def _money(self) -> Iterator[str]:
        booked, after = self.evidence.booked, self.evidence.after
        held = sum(doubt.row["hold_amount"] for doubt in booked.doubts)
        theirs = sum(doubt.billed for doubt in booked.doubts)
        yield f"  billed by the providers   {usd(booked.billed)} for {booked.bills} calls"
        yield f"  settled in the ledger     {usd(booked.settled)} for {booked.settlements} attempts"
        yield f"  unknown in the ledger     {usd(held)} held for {len(booked.doubts)}, billed {usd(theirs)}"
        yield f"  difference                {usd(booked.billed - booked.settled - theirs)}"
        yield (
            f"  after reconciling         {usd(after.settled)} settled, {after.unknown} unknown "
            f"({after.resolved} resolved: {', '.join(after.verdicts)})"
        )
        yield f"  calls bought twice        {len(self.evidence.bought_twice)} {self._twice_by_kind()}"

    def _twice_by_kind(self) -> str:
        kinds = Counter(self.evidence.kinds.get(number, "?") for number in self.evidence.bought_twice)
        return ", ".join(f"{kind} {count}" for kind, count in kinds.items())

    def _promises(self) -> Iterator[str]:
        for verdict in self.verdicts:
            word = "kept  " if verdict.kept else ("BROKEN" if verdict.money else "missed")
            yield f"  {word}  {verdict.promise}: {verdict.measured}"

    def _problems(self) -> Iterator[str]:
        booked = self.evidence.booked
        for found in (
            booked.unbooked,
            booked.unbilled,
            booked.wrong,
            booked.above,
            self.evidence.exceeded,
            self.evidence.unequal,
        ):
            for problem in found[:10]:
                yield f"  ! {problem}"
        for number, rows in self.evidence.bought_twice.items():
            told = ", ".join(
                f"{row['attempt_id']} {row['state']} {self._when(row['dispatched_at'])} to "
                f"{self._when(row['ended_at'] or row['dispatched_at'])}"
                for row in rows
            )
            yield f"  ! {self.evidence.kinds.get(number, '?')} {number} was bought twice: {told}"

    def _when(self, micros: int) -> str:
        """By phase, and seconds into it."""
        at = micros / 1e6
        phase = next((phase for phase in self.evidence.phases if phase.has(at)), None)
        return f"+{at - phase.begun:.2f} s of '{phase.name}'" if phase else "outside"

    def to_json(self) -> str:
        """The same for programs."""
        return json.dumps(
            {
                "seconds": round(self.evidence.seconds, 1),
                "phases": [
                    {**asdict(seen), "failed": dict(seen.failed), "states": dict(states)}
                    for seen, (_, states) in zip(self.evidence.seen, self.evidence.states, strict=True)
                ],
                "unknown": [
                    {"phase": phase, "heard": heard, "attempts": one[0], "held": one[1], "billed": one[3]}
                    for (phase, heard), one in self.evidence.doubts.items()
                ],
                "billed": self.evidence.booked.billed,
                "settled": self.evidence.booked.settled,
                "after": asdict(self.evidence.after),
                "events": dict(self.evidence.events),
                "nowhere": self.evidence.nowhere,
                "drains": list(self.evidence.drains),
                "verdicts": [asdict(verdict) for verdict in self.verdicts],
            },
            indent=1,
        )


def _beside(seconds: float | None, quiet: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f}" + (f" ({seconds / quiet:.1f}x)" if quiet else "")


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first, *others = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  " + "  ".join([first, *others]).rstrip()
