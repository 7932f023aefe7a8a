"""``imagegate usage``: what was used and what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.control import open_control, options
from gateway.cli.keys import console
from gateway.ledger.administration import DEFAULT_DAYS
from gateway.ledger.records import NANO

_SHOWN = NANO // 10_000
"""Tables show four decimals."""


@click.command()
@click.option("--days", type=int, help=f"The last so many days, today included.  [default: {DEFAULT_DAYS}]")
@click.option("--since", metavar="DAY|MOMENT", help="From this day or moment on, instead of --days.")
@click.option(
    "--until", metavar="DAY|MOMENT", help="To the end of this day, or to this moment.  [default: now]"
)
@click.option(
    "--by", default="day,key,model", show_default=True, help="How to group: any of day, key, model."
)
@options
def usage(
    days: int | None,
    since: str | None,
    until: str | None,
    by: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show requests, images, tokens and cost. Days are those of the organisation's time zone."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    body = {"days": days, "since": since, "until": until, "by": names}
    with open_control(config, data) as control:
        report = control.perform("usage", body)
    if as_json:
        click.echo(json.dumps(report))
    else:
        console().print(_table(report))


def _table(report: dict[str, Any]) -> Table:
    table = Table(
        title=f"{report['since'][:16]} to {report['until'][:16]} {report['timezone']}",
        title_justify="left",
        box=None,
        show_footer=True,
    )
    groups = list(report["by"])
    total = _numbers(report["total"])
    for position, name in enumerate(groups):
        table.add_column(name, "total" if position == 0 else "", no_wrap=True)
    for (title, _), sum_ in zip(_COLUMNS, total, strict=True):
        table.add_column(title, sum_, justify="right", no_wrap=True)
    for row in report["rows"]:
        table.add_row(*[escape(_group(row, name)) for name in groups], *_numbers(row))
    return table


_COLUMNS = (
    ("requests", "requests"),
    ("failed", "failed"),
    ("images", "images"),
    ("tokens in", "input_tokens"),
    ("tokens out", "output_tokens"),
    ("cost", "cost_nano_usd"),
    ("cost unknown", "unknown_cost"),
)


def _numbers(row: dict[str, Any]) -> list[str]:
    return [money(row[name]) if name == "cost_nano_usd" else f"{row[name]:,}" for _, name in _COLUMNS]


def _group(row: dict[str, Any], name: str) -> str:
    return str(row["key_name"] or row["key_id"]) if name == "key" else str(row[name])


def money(cost: int | None) -> str:
    """``$0.2107``: rounded to four decimals; a cost too small to show so is written out, and an
    unknown one is said to be."""
    if cost is None:
        return "unknown"
    if 0 < cost < _SHOWN:
        return f"$0.{cost:09d}".rstrip("0")
    shown = (cost + _SHOWN // 2) // _SHOWN
    return f"${shown // 10_000:,}.{shown % 10_000:04d}"
