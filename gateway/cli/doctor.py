"""``imagegate doctor``: whether the configured accounts are there, told free of charge."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.examination import Examined, Level, examine
from gateway.cli.keys import console
from gateway.cli.offline import open_offline

_STYLES = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: "cyan"}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one.")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--notes", is_flag=True, help="Show the notes too: what nobody has verified.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, notes included.")
def doctor(config: Path | None, strict: bool, notes: bool, as_json: bool) -> None:
    """Look at every configured provider: reachable, key accepted, models there, prices and dates known.

    Asks each account for its list of models, and never for a picture. Exit status 0: all can be called;
    1: there are errors (with --strict, or warnings).
    """
    offline = open_offline(config)
    today = datetime.now(UTC).date()
    found = asyncio.run(examine(offline.settings, offline.directory, base=offline.base, today=today))
    fatal = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    ok = not any(finding.level in fatal for one in found for finding in one.findings)
    if as_json:
        document = {"ok": ok, "providers": [asdict(one) for one in found]}
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        _show(found, notes)
    sys.exit(0 if ok else 1)


def _show(found: Sequence[Examined], notes: bool) -> None:
    table = Table("provider", "type", "reachable", "key", "lists", "targets", box=None)
    for one in found:
        table.add_row(
            escape(one.name),
            one.type,
            _word(one.reachable, "yes", "no"),
            _word(one.key_accepted, "accepted", "refused"),
            f"{one.models} models" if one.models else "-",
            str(len(one.targets)),
        )
    console().print(table)
    told, hidden = Table(box=None, show_header=False), 0
    for one in found:
        for finding in one.findings:
            if finding.level is Level.NOTE and not notes:
                hidden += 1
                continue
            place = one.name if finding.model is None else f"{one.name}/{finding.model}"
            level = f"[{_STYLES[finding.level]}]{finding.level}[/]"
            told.add_row(level, escape(place), escape(finding.text))
    if told.row_count:
        console().print(told)
    if hidden:
        click.echo(f"{hidden} notes more; show them with --notes")


def _word(answer: bool | None, yes: str, no: str) -> str:
    return "-" if answer is None else yes if answer else no
