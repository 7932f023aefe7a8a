"""The commands of the accounts on a ledger of a year that is long over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from click.testing import CliRunner, Result

from gateway.cli.close import close
from gateway.cli.credit import credit
from gateway.cli.export import export
from gateway.cli.reconcile import reconcile
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptState, NanoDollars
from tests.unit.accounts.books import on
from tests.unit.ledger.entries import attempt, end, request

COMMANDS = {"export": export, "close": close, "credit": credit, "reconcile": reconcile}

Order = Callable[..., Result]


def order(config: Path, *words: str) -> Result:
    """``order(config, "export", "--month", "2024-08")``, in this process."""
    return CliRunner().invoke(COMMANDS[words[0]], [*words[1:], "--config", str(config)])


def fill(folder: Path) -> None:
    """August: two pictures and one call that nobody knows of; September: one picture."""

    async def work() -> None:
        ledger = await Ledger.open("sqlite:///data/imagegate.db", folder)
        await call(ledger, "a", on(8, 3), 210_775_000, labels='{"team": "=red"}', tags='{"run": "7"}')
        await call(ledger, "b", on(8, 4), 100_000_000)
        await call(ledger, "u", on(8, 4), None)
        await call(ledger, "c", on(9, 2), 50_000_000)
        await ledger.close()

    asyncio.run(work())


def month_of(moment: str) -> str:
    """The month that an instant belongs to, in the zone of the tests' configuration."""
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo('Europe/Vienna')):%Y-%m}"


async def call(ledger: Ledger, name: str, moment: datetime, cost: int | None, **changes: str) -> None:
    sent = replace(attempt(name), dispatched_at=moment, expected=NanoDollars(210_000_000))
    await ledger.record(request(name, received_at=moment, **changes), sent)
    state = AttemptState.UNKNOWN if cost is None else AttemptState.SETTLED
    await ledger.record(end(f"{name}/1", state, cost, ended_at=moment + timedelta(minutes=1)))
