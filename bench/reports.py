"""How long reports over a million requests take, and that they equal the sums of the rows.

``python -m bench.reports [--postgres]``. The rows span 30 days of 10 projects, 50 keys and 4 models; filling
takes a minute or two and is not measured.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from bench._rows import filled, options
from bench._stand import report
from gateway.ledger.ledger import Ledger
from gateway.ledger.reports import ROLLUP, Dimension, UsageReport
from gateway.ledger.tables import rollup_marks

MARK_SECONDS = 2.0
REPORTS: Sequence[tuple[str, Sequence[Dimension], int]] = (
    ("30 days by day, key and model", list(Dimension), 30),
    ("30 days by day", [Dimension.DAY], 30),
    ("30 days by key", [Dimension.KEY], 30),
    ("7 days by day, key and model", list(Dimension), 7),
    ("30 days in all", [], 30),
)


async def measure(rows: int, postgres: bool) -> int:
    until = datetime.now(UTC)
    async with filled(rows, postgres, until - timedelta(days=30), until) as ledger:
        lines = {}
        begun = time.perf_counter()
        await ledger.roll_up()
        lines["rolling all of it up, once"] = f"{time.perf_counter() - begun:.1f} s"
        longest, rolled = 0.0, []
        for name, by, days in REPORTS:
            begun = time.perf_counter()
            rolled.append(await _report(ledger, by, days, until))
            took = time.perf_counter() - begun
            lines[name] = f"{took * 1000:.0f} ms, {len(rolled[-1].rows)} rows"
            longest = max(longest, took)
        marks = [("longest report", longest, MARK_SECONDS, "s")]
        if not postgres:
            # PostgreSQL ends a statement after five seconds; the sums of all its rows may take longer.
            await ledger._store.write(_forget_rollup)
            begun = time.perf_counter()
            raw = await _report(ledger, REPORTS[0][1], REPORTS[0][2], until)
            lines["the same from the rows alone"] = f"{time.perf_counter() - begun:.1f} s"
            marks.append(("reports unlike the rows", float(raw.rows != rolled[0].rows), 0.0, ""))
        name = f"Reports over {rows:,} requests on {'PostgreSQL' if postgres else 'SQLite'}"
        return report(name, lines, marks)


async def _report(ledger: Ledger, by: Sequence[Dimension], days: int, until: datetime) -> UsageReport:
    return await ledger.usage(
        since=until - timedelta(days=days), until=until, by=by, timezone="Europe/Vienna"
    )


def _forget_rollup(connection: Connection) -> None:
    slots = select(ROLLUP.table.c.slot).distinct()
    marks = [{"rollup": ROLLUP.name, "slot": slot, "mark_id": "all"} for slot in connection.scalars(slots)]
    connection.execute(insert(rollup_marks), marks)
    connection.execute(delete(ROLLUP.table))


def main() -> int:
    asked = options(__doc__, 1_000_000)
    return asyncio.run(measure(asked.rows, asked.postgres))


if __name__ == "__main__":
    sys.exit(main())
