"""``imagegate export``: a month, line by line or in groups, for a spreadsheet, a FinOps tool or a program."""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import rich_click as click

from gateway.cli.accounts import lines_of
from gateway.cli.control import open_control, options
from gateway.errors import InvalidRequest
from gateway.ledger.accounts.columns import Columns
from gateway.ledger.accounts.focus import COLUMNS as FOCUS_COLUMNS
from gateway.ledger.accounts.focus import Focus, Period
from gateway.ledger.accounts.grouping import WORDS, Groups
from gateway.ledger.accounts.lines import Line, Totals
from gateway.ledger.accounts.money import exact
from gateway.ledger.accounts.sheet import Sheet

Pieces = Iterable[list[Line]]


@click.command()
@click.option(
    "--month", required=True, metavar="YYYY-MM", help="Such as 2026-11, in the organisation's zone."
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "focus", "json"]), default="csv", show_default=True,
    help="csv: a column for each fact; focus: FOCUS 1.2, as CSV; json: one document.",
)  # fmt: skip
@click.option(
    "--by", metavar="NAMES", help=f"Sums instead of lines: any of {', '.join(WORDS)}, with commas between."
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file, which appears when it is whole.  [default: stdout]",
)  # fmt: skip
@options
def export(
    month: str,
    form: str,
    by: str | None,
    output: Path | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Write what a month cost, attempt by attempt.

    A closed month gives the same bytes for ever. An open one is told as it stands. The sums go to stderr.
    """
    form = "json" if as_json else form
    groups = _groups(by)
    if form == "focus" and groups is not None:
        raise click.UsageError("--by is for csv and json; FOCUS has a row for each charge.")
    with open_control(config, data) as control, _sink(output) as sink:
        head = control.perform("accounts/export", {"month": month})
        totals = Totals()
        WRITERS[form](sink, head, _summed(lines_of(control, head), totals), groups, totals)
    _tell(head, totals)


def _groups(by: str | None) -> Groups | None:
    names = [name.strip() for name in (by or "").split(",") if name.strip()]
    try:
        return Groups(names) if names else None
    except InvalidRequest as error:
        raise click.UsageError(error.message) from None


def _summed(pieces: Pieces, totals: Totals) -> Iterator[list[Line]]:
    for lines in pieces:
        totals.add(lines)
        yield lines


def _csv(sink: TextIO, head: dict[str, Any], pieces: Pieces, groups: Groups | None, totals: Totals) -> None:
    sheet = Sheet(sink)
    if groups is not None:
        for lines in pieces:
            groups.add(lines)
        sheet.row(groups.header)
        for cells in groups.cells():
            sheet.row(cells)
        return
    columns = Columns(head["labels"], head["tags"])
    sheet.row(columns.header)
    for lines in pieces:
        for line in lines:
            sheet.row(columns.cells(line))


def _focus(sink: TextIO, head: dict[str, Any], pieces: Pieces, groups: None, totals: Totals) -> None:
    sheet = Sheet(sink)
    start, end = (datetime.fromisoformat(head[name]) for name in ("starts_at", "ends_at"))
    focus = Focus(Period(head["organization"], head["timezone"], start, end))
    sheet.row(FOCUS_COLUMNS)
    for lines in pieces:
        for line in lines:
            sheet.row(focus.cells(line))


def _json(sink: TextIO, head: dict[str, Any], pieces: Pieces, groups: Groups | None, totals: Totals) -> None:
    about = {name: head[name] for name in ("month", "organization", "timezone", "starts_at", "ends_at")}
    about["closed"] = head["closed"]
    sink.write(json.dumps(about)[:-1] + ', "lines": [')
    columns = Columns(head["labels"], head["tags"])
    if groups is not None:
        for lines in pieces:
            groups.add(lines)
    facts = (columns.facts(line) for lines in pieces for line in lines) if groups is None else groups.facts()
    before = "\n"
    for fact in facts:
        sink.write(before + json.dumps(fact, ensure_ascii=False))
        before = ",\n"
    sink.write(f'\n], "totals": {json.dumps(_sums(totals))}}}\n')


WRITERS: dict[str, Callable[..., None]] = {"csv": _csv, "focus": _focus, "json": _json}
"""By format: ``(sink, head, pieces, groups, totals)``."""


def _sums(totals: Totals) -> dict[str, object]:
    return {
        "lines": totals.lines,
        "cost_usd": exact(totals.cost),
        "credits_usd": exact(totals.credits),
        "total_usd": exact(totals.cost + totals.credits),
        "unknown_usd": exact(totals.unknown),
        "unknown_lines": totals.unknown_lines,
    }


def _tell(head: dict[str, Any], totals: Totals) -> None:
    closed = head["closed"]
    state = "open: figures can still change" if closed is None else f"closed {closed['closed_at'][:10]}"
    parts = [f"{totals.lines:,} lines", f"cost ${exact(totals.cost)}"]
    if totals.credits:
        parts += [f"credits ${exact(totals.credits)}", f"together ${exact(totals.cost + totals.credits)}"]
    if totals.unknown_lines or totals.unknown:
        parts.append(f"unknown ${exact(totals.unknown)} ({totals.unknown_lines:,} lines)")
    click.echo(f"{head['month']} ({state}): {', '.join(parts)}", err=True)


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    """Where the text goes, its newlines untouched."""
    if output is None:
        sink = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        try:
            yield sink
            sink.flush()
        finally:
            sink.detach()
        return
    draft = output.with_name(f".{output.name}.{secrets.token_hex(6)}")
    try:
        with open(draft, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, output)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
