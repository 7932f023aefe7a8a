"""How long the counters take to be built anew from a ledger of 100,000 attempts in their windows.

``python -m bench.rebuild [--postgres]``. Limits: organization, 10 projects, 50 keys, all end users of each
key, and each model, by dollars, images and tokens, over hours, days, months, and rolling days. Once with
nothing rolled up, as after a burst, and once with everything.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bench._rows import KEYS, MODELS, PROJECTS, filled, options
from bench._stand import report
from gateway.engine.counters import Rule
from gateway.engine.record import LedgerRecord
from gateway.ledger.ledger import Ledger
from gateway.quota.away import GuardedStore
from gateway.quota.keeper import Keeper
from gateway.quota.local import LocalQuotaStore
from gateway.quota.terms import Level, Measure
from gateway.quota.windows import Calendar, Period

MARK_SECONDS = 10.0


WINDOWS: Sequence[tuple[Period, bool]] = (("hour", False), ("day", False), ("month", False), ("day", True))


def rules() -> list[Rule]:
    projects = [f"proj_{project}" for project in range(PROJECTS)]
    places: list[tuple[Level, str | None, str | None, str | None]] = [
        (Level.ORGANIZATION, None, None, None),
        *((Level.ORGANIZATION, None, None, f"model-{model}") for model in range(MODELS)),
        *((Level.PROJECT, project, None, None) for project in projects),
        *((Level.KEY, name, f"key_{name[5:]}_{key}", None) for name in projects for key in range(KEYS)),
    ]
    measures = (Measure.SPEND, Measure.IMAGES, Measure.TOKENS)
    found = [
        Rule(level, measure, per, rolling, project, key, model)
        for level, project, key, model in places
        for measure in measures
        for per, rolling in WINDOWS
    ]
    users = (Rule(Level.END_USER, m, "month", project_id=name) for m in measures for name in projects)
    return [*found, *users]


async def measure(rows: int, postgres: bool) -> int:
    until = datetime.now(UTC)
    since = max(until.replace(day=1, hour=0, minute=0, second=0), until - timedelta(days=20))
    async with filled(rows, postgres, since, until) as ledger:
        lines: dict[str, str] = {}
        raw = await _rebuild(ledger, lines, "nothing rolled up")
        begun = time.perf_counter()
        await ledger.roll_up()
        lines["rolling all of it up"] = f"{time.perf_counter() - begun:.2f} s"
        rolled = await _rebuild(ledger, lines, "all rolled up")
        where = "PostgreSQL" if postgres else "SQLite"
        title = f"Rebuild from {rows:,} attempts on {where}, {len(rules())} rules"
        return report(title, lines, [("rebuild", max(raw, rolled), MARK_SECONDS, "s")])


async def _rebuild(ledger: Ledger, lines: dict[str, str], name: str) -> float:
    calendar = Calendar()
    store = LocalQuotaStore(calendar)
    record = LedgerRecord(ledger, rules, lambda: calendar)
    begun = time.perf_counter()
    await Keeper(GuardedStore(store), record, lambda kept: None).rebuild()
    took = time.perf_counter() - begun
    begun = time.perf_counter()
    account = await record.account([], None)
    lines[f"rebuild, {name}"] = (
        f"{took:.2f} s ({time.perf_counter() - begun:.2f} s of it the ledger's; "
        f"{len(account.sums):,} sums, {len(account.open_holds):,} open attempts)"
    )
    return took


def main() -> int:
    asked = options(__doc__, 100_000)
    return asyncio.run(measure(asked.rows, asked.postgres))


if __name__ == "__main__":
    sys.exit(main())
