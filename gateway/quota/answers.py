"""What the scripts answered, as values; ``wire.py`` says what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.quota.holds import Hold, State, load_lines
from gateway.quota.outcomes import Admitted, Drift, End, Moved, Refused, Reservation
from gateway.quota.plan import Gate, Plan, Tally, bindings, standings, taken


def judged(
    reservations: Sequence[Reservation], wanted: Plan, answer: Sequence[Any], epoch: int
) -> Admitted | Refused:
    """Of ``reserve``: everything was taken, or nothing."""
    status, now, rows = answer[0], int(answer[1]), answer[2]
    gates, counted = wanted.gates, tallies(rows)
    for gate, row in zip(gates, rows, strict=True):
        gate.need = int(row[4])
    on_trial = bindings(gates, counted, now, shadow=True)
    if status != b"ok":
        refusing = bindings(gates, counted, now, shadow=False)
        return Refused(refusing, standings(gates, counted, now), on_trial)
    known = answer[3]
    holds = tuple(
        _hold(each.rid, kept, epoch) or Hold(each.rid, now, each.lease_ms, lines, epoch)
        for each, lines, kept in zip(reservations, wanted.lines, known, strict=True)
    )
    after = _after(gates, counted)
    return Admitted(holds, standings(gates, after, now), on_trial, any(state for state, *_ in known))


def _after(gates: Sequence[Gate], before: Sequence[Tally]) -> list[Tally]:
    return [taken(gate, tally) for gate, tally in zip(gates, before, strict=True)]


def records(rids: Sequence[str], answer: Sequence[Any], epoch: int) -> dict[str, tuple[State, Hold]]:
    """Of ``find``: those that are known and whose lines are kept, which is until they end."""
    found = {}
    for rid, kept in zip(rids, answer[1], strict=True):
        hold = _hold(rid, kept, epoch)
        if hold is not None:
            found[rid] = (State(kept[0].decode()), hold)
    return found


def _hold(rid: str, kept: Sequence[bytes], epoch: int) -> Hold | None:
    _, blob, admitted, lease = kept
    return Hold(rid, int(admitted), int(lease), load_lines(blob), epoch) if blob else None


def tallies(rows: Sequence[Sequence[Any]]) -> list[Tally]:
    return [Tally(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in rows]


def moved(end: End, answer: Sequence[Any]) -> Moved:
    """Of ``finish``."""
    return Moved(end.hold.rid, state(answer[1]), state(answer[2]), applied=answer[0] == b"ok")


def state(word: bytes) -> State | None:
    return State(word.decode()) if word else None


def rids(words: Sequence[bytes]) -> list[str]:
    return [word.decode() for word in words]


def drifts(lines: Sequence[Any], answer: Sequence[Any]) -> list[Drift]:
    """Of ``raise``: where a counter was not what the ledger says."""
    pairs = [(line, int(was)) for line, was in zip(lines, answer[1], strict=True)]
    return [Drift(line, was, raised=was < line.amount) for line, was in pairs if was != line.amount]
