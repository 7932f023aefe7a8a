"""The reckoning: what the upstream says it billed, what the ledger says, what the counters say.

Everything is added up here anew from single rows; none of the gateway's own sums is used.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

NANO = 1_000_000_000
TEXT_IN, IMAGE_OUT = 5_000, 30_000
"""Nano-dollars a token of gpt-image-2, without pictures in."""

_ROWS = """
    SELECT r.client_request_id AS number, r.end_user, r.project_id, r.key_id, a.attempt_id, a.state, a.cost,
           a.hold_amount, a.admitted_at, a.counted_images, a.flags, a.request_id, a.ordinal, a.provider,
           a.upstream_request_id, a.dispatched_at, a.ended_at, a.kind, a.certainty, a.received_at
    FROM attempts a JOIN requests r ON r.request_id = a.request_id
"""


async def rows(database: str) -> list[dict[str, Any]]:
    """Every attempt with whose it is."""
    engine = create_async_engine(database)
    try:
        async with engine.connect() as link:
            return [dict(row) for row in (await link.execute(text(_ROWS))).mappings()]
    finally:
        await engine.dispose()


@dataclass(slots=True)
class Findings:
    """All zero but ``billed``, ``settled``, ``unknown`` (nano-dollars) and ``states``, if all is well."""

    attempts: int = 0
    calls: int = 0
    states: Counter[str] = field(default_factory=Counter)
    billed: int = 0
    settled: int = 0
    unknown: int = 0
    overspent: int = 0
    """Nano-dollars above limits, over all scopes and windows, by the ledger or by the upstream's bill."""
    lost: list[str] = field(default_factory=list)
    """Calls that the upstream had and the ledger has not, or has as free though they were billed."""
    doubled: list[str] = field(default_factory=list)
    """Numbers that were sent twice, or have two rows."""
    wrong: list[str] = field(default_factory=list)
    """Attempts settled at another cost than the upstream billed, or without any call."""
    running: int = 0
    unequal: list[str] = field(default_factory=list)
    """Limits whose counter is not what the rows add up to."""

    @property
    def clean(self) -> bool:
        return not (self.overspent or self.lost or self.doubled or self.wrong or self.running or self.unequal)


def compare(calls: Sequence[Mapping[str, Any]], attempts: Sequence[Mapping[str, Any]]) -> Findings:
    """The ledger's rows against the upstream's own record of the calls it got.

    A request may be sent again where its first call clearly made nothing; it may be billed once.
    """
    found = Findings(attempts=len(attempts), calls=len(calls))
    sent, billed = Counter(map(number_of, calls)), _billed(calls)
    rows_of = defaultdict(list)
    for row in attempts:
        rows_of[str(row["number"])].append(row)
        found.states[row["state"]] += 1
        found.running += row["state"] == "dispatched"
        found.settled += row["cost"] if row["state"] == "settled" else 0
        found.unknown += row["hold_amount"] if row["state"] == "unknown" else 0
    for number, rows in rows_of.items():
        bills, settled = billed[number], [row for row in rows if row["state"] == "settled"]
        if len(bills) > 1 or sent[number] > len(rows):
            found.doubled.append(f"{number} was sent {sent[number]} times, billed {len(bills)} times")
        if len(settled) > 1:
            found.doubled.append(f"{number} is settled {len(settled)} times")
        if bills and not any(row["state"] in ("settled", "unknown", "dispatched") for row in rows):
            found.lost.append(f"{number} is released, billed {bills}")
        for row in settled:
            estimated = "estimated" in (row["flags"] or "")
            cost = sum(bills)
            if not sent[number] or (row["cost"] < cost if estimated else row["cost"] != cost):
                found.wrong.append(f"{number} settled at {row['cost']}, billed {bills}")
    found.lost += [f"{number} has no row" for number in sent if number not in rows_of]
    found.billed = sum(map(sum, billed.values()))
    return found


def _billed(calls: Sequence[Mapping[str, Any]]) -> defaultdict[str, list[int]]:
    """By number, what each call of it that cost anything was billed."""
    billed: defaultdict[str, list[int]] = defaultdict(list)
    for call in calls:
        if bill_of(call):
            billed[number_of(call)].append(bill_of(call))
    return billed


def overspent(
    organization: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]]
) -> int:
    """Nano-dollars above any dollar limit, in any of its windows: by the ledger with what is unknown at its
    hold, and by what the upstream billed."""
    bills = _bills(calls, attempts)
    above = 0
    for members, limit in scopes(organization, attempts):
        if "spend_usd" not in limit:
            continue
        amount = int(Decimal(limit["spend_usd"]) * NANO)
        ledger: Counter[str] = Counter()
        bill: Counter[str] = Counter()
        for row in members:
            window = window_of(limit, row["admitted_at"])
            ledger[window] += weight(row)
            bill[window] += bills.get(row["attempt_id"], 0)
        for sums in (ledger, bill):
            above += sum(max(used - amount, 0) for used in sums.values())
    return above


def _bills(calls: Sequence[Mapping[str, Any]], attempts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """By attempt, what the upstream billed of its request: with the attempt that may have been paid for."""
    billed = {number: sum(bills) for number, bills in _billed(calls).items()}
    bills: dict[str, int] = {}
    for row in sorted(attempts, key=lambda row: (row["state"] == "released", row["attempt_id"])):
        bills[row["attempt_id"]] = billed.pop(str(row["number"]), 0)
    return bills


def weight(row: Mapping[str, Any]) -> int:
    """What an attempt counts: its cost, or its hold while nobody knows."""
    match row["state"]:
        case "settled":
            return int(row["cost"])
        case "released":
            return 0
        case _:
            return int(row["hold_amount"])


def expected(
    limit: Mapping[str, Any], key: str, user: str, attempts: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[Decimal, Decimal]:
    """What a limit of ``GET /v1/usage`` must show as used and as unknown."""
    level = limit["scope"]
    project = key.split("/")[0]
    used = unknown = 0
    window = window_of(limit, int(now.timestamp() * 1_000_000))
    for row in attempts:
        if level != "organization" and row["project_id"] != project:
            continue
        if level in ("key", "end_user") and row["key_id"] != key:
            continue
        if level == "end_user" and row["end_user"] != user:
            continue
        if window_of(limit, row["admitted_at"]) != window:
            continue
        if limit["measure"] == "images":
            amount = row["counted_images"]
        elif limit["measure"] == "spend_usd":
            amount = weight(row)
        else:
            continue
        # Pictures count for good from the moment they are asked for, whatever becomes of them.
        if row["state"] == "unknown" and limit["measure"] == "spend_usd":
            unknown += amount
        else:
            used += amount
    unit = NANO if limit["measure"] == "spend_usd" else 1
    return Decimal(used) / unit, Decimal(unknown) / unit


def scopes(
    organization: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]]:
    """The attempts of every scope with each of its limits."""
    for limit in organization["limits"]:
        yield attempts, limit
    for project in organization["projects"]:
        of_project = [row for row in attempts if row["project_id"] == project["name"]]
        for limit in project["limits"]:
            yield of_project, limit
        for key in project["keys"]:
            of_key = [row for row in of_project if row["key_id"] == f"{project['name']}/{key['name']}"]
            for limit in key["limits"]:
                yield of_key, limit
            of_users = defaultdict(list)
            for row in of_key:
                of_users[row["end_user"]].append(row)
            for of_user in of_users.values():
                for limit in project["end_user_limits"]:
                    yield of_user, limit


def window_of(limit: Mapping[str, Any], micros: int) -> str:
    """In which window of a limit a moment lies. The run is shorter than any rolling one, so that is one."""
    at = datetime.fromtimestamp(micros / 1_000_000, UTC)
    forms = {"minute": "%Y-%m-%dT%H:%M", "hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
    if limit.get("rolling") or limit.get("per") == "total" or limit.get("per") is None:
        return "all"
    return at.strftime(forms[limit["per"]])


def number_of(call: Mapping[str, Any]) -> str:
    """Which of the load's calls an upstream call is for; it stands in the prompt."""
    found = re.search(r"#(\d+)#", str(call["fields"]["prompt"]))
    assert found is not None
    return found[1]


def bill_of(call: Mapping[str, Any]) -> int:
    """Nano-dollars, by the upstream's own record and the published prices."""
    usage = call["usage"]
    if usage is None:
        return 0
    return int(usage["input_tokens"]) * TEXT_IN + int(usage["output_tokens"]) * IMAGE_OUT
