"""``imagegate credit``: give money back to a scope, as an entry of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.accounts import who_option
from gateway.cli.control import open_control, options
from gateway.cli.keys import console
from gateway.ledger.accounts.scopes import WORDS


@click.command()
@click.option("--scope", metavar="SCOPE", help=f"Whom it is for: {WORDS}.")
@click.option("--usd", metavar="DOLLARS", help="How much, such as 5 or 0.50.")
@click.option("--model", help="For the scope's limits on this model instead of those on all models.")
@click.option("--void", metavar="ID", help="Take this credit back, whole, instead of giving one.")
@click.option("--reason", help="Why; kept for good.")
@click.option("--list", "listing", is_flag=True, help="Show all credits, and whether they are as entered.")
@who_option
@options
def credit(
    scope: str | None,
    usd: str | None,
    model: str | None,
    void: str | None,
    reason: str | None,
    listing: bool,
    who: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Give a scope room in the windows of its dollar limits that are open now.

    A credit counts like a negative cost of that scope alone, in the windows in which it is entered; no
    counter is ever set back. It is signed and never changed: one that was a mistake is taken back by another.
    """
    giving = scope is not None and usd is not None and void is None and not listing
    voiding = void is not None and scope is usd is model is None and not listing
    if not (giving or voiding or (listing and scope is usd is void is None)):
        raise click.UsageError("Give --scope and --usd, or --void, or --list.")
    if not listing and not reason:
        raise click.UsageError("Say why with --reason; it is kept with the credit.")
    with open_control(config, data) as control:
        if listing:
            _show(control.perform("accounts/credits", {}), as_json)
            return
        body: dict[str, object] = {"reason": reason, "who": who}
        if voiding:
            made = control.perform("accounts/void", {**body, "id": void})
        else:
            given = {**body, "scope": scope, "usd": usd, "model": model}
            made = control.perform("accounts/credit", given)
    if as_json:
        click.echo(json.dumps(made))
    else:
        click.echo(f"{made['id']}: ${made['usd']} for {made['scope']}.")


def _show(listed: dict[str, Any], as_json: bool) -> None:
    wrong = _wrong(listed)
    if as_json:
        click.echo(json.dumps(listed))
    else:
        table = Table(box=None)
        for title in ("id", "entered", "scope", "usd", "by", "reason"):
            table.add_column(title, no_wrap=True, justify="right" if title == "usd" else "left")
        for each in listed["credits"]:
            reason = each["reason"] + (f" (takes back {each['voids']})" if each["voids"] else "")
            cells = (each["id"], each["entered_at"][:16], each["scope"], each["usd"], each["who"], reason)
            table.add_row(*map(escape, cells))
        console().print(table)
        click.echo(wrong or f"All {listed['entries']} entries of the journal are as they were signed.")
    if wrong is not None:
        raise SystemExit(1)


def _wrong(listed: dict[str, Any]) -> str | None:
    if listed["broken"] is not None:
        return f"Entry {listed['broken']} of the journal is not as it was signed, nor is what follows proved."
    if listed["altered"]:
        return f"Not as the journal says: {', '.join(listed['altered'])}."
    return None
