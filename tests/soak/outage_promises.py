"""Each promise, and the number that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.soak.accounts import NANO
from tests.soak.clients import PICTURE
from tests.soak.outage_evidence import Evidence, quantile


@dataclass(frozen=True, slots=True)
class Verdict:
    """``money``: where it is not kept, the run has failed."""

    promise: str
    measured: str
    kept: bool
    money: bool = True


def about_money(evidence: Evidence) -> Iterator[Verdict]:
    booked, after = evidence.booked, evidence.after
    unsaid = [doubt for doubt in booked.doubts if not doubt.row["certainty"]]
    running = sum(row["state"] == "dispatched" for row in evidence.attempts)
    twice_keyed = [number for number in evidence.bought_twice if evidence.kinds.get(number) == "keyed"]
    keyed = sum(kind == "keyed" for kind in evidence.kinds.values())
    yield Verdict(
        "every call that a provider billed is booked, settled or unknown",
        f"{len(booked.unbooked)} of {booked.bills} not",
        not booked.unbooked,
    )
    yield Verdict(
        "every settled attempt was billed",
        f"{len(booked.unbilled)} of {booked.settlements} not",
        not booked.unbilled,
    )
    yield Verdict(
        "each at what was billed",
        f"{len(booked.wrong)} of {booked.settlements} not",
        not booked.wrong,
    )
    yield Verdict("no call cost more than was held for it", f"{len(booked.above)} did", not booked.above)
    yield Verdict(
        "every unknown attempt has a reason",
        f"{len(unsaid)} of {len(booked.doubts)} without; {running} still running",
        not unsaid and not running,
    )
    yield Verdict(
        "the providers' bills resolve them",
        f"{after.unknown} left; settled {usd(after.settled)}, billed {usd(booked.billed)}",
        not after.unknown and after.settled == booked.billed,
    )
    yield Verdict(
        "nothing is held once nothing runs",
        "never" if evidence.decay is None else f"after {evidence.decay:.0f} s",
        evidence.decay is not None,
    )
    yield Verdict(
        "every counter says what the ledger's rows add up to",
        f"{len(evidence.unequal)} do not",
        not evidence.unequal,
    )
    fullest = max((peak.share for peak in evidence.peaks), default=0)
    above = [peak for peak in evidence.peaks if peak.most > peak.amount]
    yield Verdict(
        "no limit was ever exceeded (settled + held + unknown, replayed from the rows)",
        f"{len(above)} of {len(evidence.peaks)} were; the fullest stood at {fullest:.1%}",
        not above,
    )
    yield Verdict(
        "nor seen exceeded by GET /v1/usage",
        f"{len(evidence.exceeded)} of {evidence.looks} looks",
        not evidence.exceeded,
    )
    yield Verdict(
        "an Idempotency-Key buys one picture, never two",
        f"{len(twice_keyed)} of {keyed} were billed twice",
        not twice_keyed,
    )


def about_service(evidence: Evidence) -> Iterator[Verdict]:
    for phase in evidence.seen:
        if "quiet" in phase.phase.name or "in turn" in phase.phase.name:
            failed = phase.sdk[1] - phase.sdk[0]
            yield Verdict(
                f"{phase.phase.name}: every call of the SDK is answered with its picture",
                f"{failed} of {phase.sdk[1]} were not",
                not failed,
                money=False,
            )
    killed = evidence.events["killed_in_flight"]
    yield Verdict("a restart breaks nothing off", f"{killed} calls", not killed, money=False)
    away = sorted(each.seconds for each in evidence.wire if each.said == "503 budget_store_unavailable")
    half, most = quantile(away, 0.5) or 0, quantile(away, 0.95) or 0
    yield Verdict(
        "without Redis every call is answered within a second",
        f"{len(away)} answers, half within {half:.2f} s, 95 % within {most:.2f} s, the longest after "
        f"{max(away, default=0):.2f} s",
        max(away, default=0) <= 1.0,
        money=False,
    )
    came = [call for call in evidence.calls if call.left]
    had = [call for call in came if call.outcome == PICTURE]
    replays = sum(call.replayed for call in had)
    yield Verdict(
        "who left and came back gets the picture that was made",
        f"{len(had)} of {len(came)}, {replays} of them without another call",
        True,
        money=False,
    )
    others = [number for number in evidence.bought_twice if evidence.kinds.get(number) != "keyed"]
    yield Verdict(
        "a call without a key that is repeated is bought once, too",
        f"{len(others)} of {sum(kind != 'keyed' for kind in evidence.kinds.values())} were billed twice",
        not others,
        money=False,
    )


def usd(nano: int) -> str:
    return f"${nano / NANO:.4f}"
