"""What the operator does the day after: the ledger beside the providers' bills, and what that resolves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.ledger.accounts.reconciliation import ModelNames, Tolerance
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import NanoDollars
from tests.soak import accounts
from tests.soak.bills import Booked, daily

MODEL = "gpt-image-2"
NAMES = ModelNames(lambda _name: MODEL, lambda _name: True)
"""The town buys one model; Azure's deployment of it is another name."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The ledger afterwards, in nano-dollars."""

    settled: int
    unknown: int
    resolved: int
    """Attempts."""
    verdicts: Sequence[str]


async def reconciled(
    url: str, folder: Path, attempts: Sequence[dict[str, Any]], booked: Booked, providers: Sequence[str]
) -> Reconciled:
    """As ``imagegate reconcile --resolve`` does it, for days that are over."""
    verdicts, resolved = [], 0
    ledger = await Ledger.open(url, folder)
    try:
        for provider in providers:
            bill = daily(attempts, booked.bills_of, provider)
            if not bill:
                continue  # it was never called
            for found in await ledger.accounts.reconcile(
                provider,
                list(bill),
                {(day, MODEL): amount for day, amount in bill.items()},
                Tolerance(NanoDollars(0), Decimal(0)),
                NAMES,
                list(bill),
                source="the provider's own record",
                entered_by="the soak",
                signing_key=b"of this run alone",
            ):
                verdicts.append(f"{provider} {found.day} {found.verdict.value}")
                resolved += len(found.resolution)
    finally:
        await ledger.close()
    rows = await accounts.rows(url)
    settled = sum(row["cost"] for row in rows if row["state"] == "settled")
    unknown = sum(row["state"] == "unknown" for row in rows)
    return Reconciled(settled, unknown, resolved, verdicts)
