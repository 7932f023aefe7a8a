"""How long it takes to close and to export a month of a million attempts, and how much memory.

``python -m bench.export [--rows N] [--postgres]``. Filling takes a minute or two and is not measured. The
memory is that of one process with the ledger, the operations and the writers of the command line in it, above
what it has before the ledger is filled; filling takes some of that too, the same for any number of rows.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench._rows import filled, options
from bench._stand import report
from config.schema import Settings
from gateway.cli.accounts import lines_of
from gateway.cli.export import WRITERS
from gateway.ledger.accounts.lines import Totals
from gateway.ledger.administration import Administration
from gateway.ledger.ledger import Ledger

MONTH = "2024-11"
SINCE, UNTIL = datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 12, 1, tzinfo=UTC)
MARK_MIB = 96.0
MARK_SECONDS = 120.0
MIB = 2**20


@dataclass
class Figures:
    seconds: float = 0.0
    growth: float = 0.0
    """MiB of resident memory at its peak, above what the process had before it filled the ledger."""


@contextmanager
def measured(base: int) -> Iterator[Figures]:
    figures, done = Figures(), threading.Event()
    peak = [base]

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    begun = time.perf_counter()
    try:
        yield figures
    finally:
        figures.seconds = time.perf_counter() - begun
        done.set()
        watcher.join()
        figures.growth = (max(peak[0], resident()) - base) / MIB


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class Counting(io.TextIOBase):
    """Takes the export and keeps only its length."""

    length = 0

    def write(self, text: str) -> int:
        self.length += len(text)
        return len(text)


class Here:
    """The operations, without a server between."""

    def __init__(self, runner: asyncio.Runner, ledger: Ledger) -> None:
        self._perform = Administration(ledger, Settings(), lambda: b"pepper").perform
        self._runner = runner

    def perform(self, operation: str, body: Mapping[str, object]) -> dict[str, Any]:
        return self._runner.run(self._perform(operation, body))


def close(control: Here) -> None:
    body: dict[str, object] = {"month": MONTH, "who": "bench"}
    while True:
        step = control.perform("accounts/close", body)
        if step["closed"] is not None:
            return
        body["closing"] = step["closing"]


def export(control: Here, form: str) -> tuple[int, Totals]:
    head = control.perform("accounts/export", {"month": MONTH})
    totals, sink = Totals(), Counting()

    def summed() -> Iterator[Any]:
        for lines in lines_of(control, head):
            totals.add(lines)
            yield lines

    WRITERS[form](sink, head, summed(), None, totals)
    return sink.length, totals


def measure(rows: int, postgres: bool) -> int:
    lines: dict[str, str] = {}
    growth, slowest, wrong = 0.0, 0.0, 0
    base = resident()

    def note(name: str, work: Callable[[], tuple[int, Totals] | None]) -> None:
        nonlocal growth, slowest, wrong
        with measured(base) as figures:
            found = work()
        growth, slowest = max(growth, figures.growth), max(slowest, figures.seconds)
        size = ""
        if found is not None:
            size = f", {found[0] / MIB:,.0f} MiB"
            wrong += found[1].lines != rows
        lines[name] = f"{figures.seconds:.1f} s, {figures.growth:+.0f} MiB of memory{size}"

    with asyncio.Runner() as runner:
        full = filled(rows, postgres, SINCE, UNTIL)
        control = Here(runner, runner.run(full.__aenter__()))
        try:
            note("CSV of the open month", lambda: export(control, "csv"))
            note("closing it", lambda: close(control))
            for form in ("csv", "focus", "json"):
                note(f"{form} of the closed month", lambda form=form: export(control, form))
        finally:
            runner.run(full.__aexit__(None, None, None))
    name = f"A month of {rows:,} attempts on {'PostgreSQL' if postgres else 'SQLite'}"
    marks = [
        ("growth of memory", growth, MARK_MIB, "MiB"),
        ("slowest", slowest, MARK_SECONDS, "s"),
        ("exports that lack lines", float(wrong), 0.0, ""),
    ]
    return report(name, lines, marks)


def main() -> int:
    asked = options(__doc__, 1_000_000)
    return measure(asked.rows, asked.postgres)


if __name__ == "__main__":
    sys.exit(main())
