"""``imagegate close``: end a month of the accounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.accounts import who_option
from gateway.cli.control import Control, open_control, options
from gateway.cli.keys import console


@click.command()
@click.option("--month", metavar="YYYY-MM", help="The month to close, such as 2026-11.")
@click.option("--with-earlier", is_flag=True, help="Close the months before it too, where they are open.")
@click.option("--list", "listing", is_flag=True, help="Only show which months are closed.")
@who_option
@options
def close(
    month: str | None,
    with_earlier: bool,
    listing: bool,
    who: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Close a month: its lines are written down as they stand, and its export never changes again.

    What becomes known afterwards is an adjustment of the month in which it does. A month can be closed an
    hour after its end, after those before it. Closing it again changes nothing.
    """
    if listing == (month is not None):
        raise click.UsageError("Give --month, or --list.")
    with open_control(config, data) as control:
        if month is None:
            _show(control.perform("accounts/months", {}), as_json)
            return
        closed = []
        while with_earlier and (earlier := _earlier(control, month)) is not None:
            closed.append(_close(control, earlier, who))
        closed.append(_close(control, month, who))
    if as_json:
        click.echo(json.dumps({"months": closed}))
        return
    for each in closed:
        click.echo(_said(each))


def _earlier(control: Control, month: str) -> str | None:
    """The oldest open month, if it lies before this one."""
    due: str | None = control.perform("accounts/months", {})["next"]
    return due if due is not None and due < month else None


def _close(control: Control, month: str, who: str) -> dict[str, Any]:
    body: dict[str, object] = {"month": month, "who": who}
    while True:
        step = control.perform("accounts/close", body)
        if step["closed"] is not None:
            return {**step["closed"], "already": step["already"]}
        body["closing"] = step["closing"]


def _said(month: dict[str, Any]) -> str:
    was = (
        f"was closed on {month['closed_at'][:10]} by {month['closed_by']}"
        if month["already"]
        else "is closed"
    )
    credits = f", credits ${month['credits_usd']}" if month["credits_usd"] != "0.000000000" else ""
    unknown = ""
    if month["unknown_lines"]:
        unknown = f", unknown ${month['unknown_usd']} ({month['unknown_lines']:,} lines)"
    return f"{month['month']} {was}: {month['lines']:,} lines, cost ${month['cost_usd']}{credits}{unknown}."


def _show(listed: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(listed))
        return
    table = Table(box=None)
    for title in ("month", "closed", "by"):
        table.add_column(title, no_wrap=True)
    for title in ("lines", "cost", "credits", "unknown"):
        table.add_column(title, justify="right", no_wrap=True)
    for month in listed["months"]:
        about = (month["month"], month["closed_at"][:10], month["closed_by"], f"{month['lines']:,}")
        sums = (month["cost_usd"], month["credits_usd"], month["unknown_usd"])
        table.add_row(*map(escape, (*about, *sums)))
    console().print(table)
    if listed["next"] is not None:
        click.echo(f"The oldest open month is {listed['next']}.")
