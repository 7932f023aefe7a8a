"""What the commands of the accounts share: who gives an order, and the lines of a month as they come."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from typing import Any

import rich_click as click

from gateway.cli.control import Control
from gateway.ledger.accounts.chunks import digest_over
from gateway.ledger.accounts.lines import Line


def who() -> str:
    """The name that this order is entered under, unless --who says another."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


who_option = click.option(
    "--who", default=who, show_default="your login name", help="Who gives the order; kept in the journal."
)


def lines_of(control: Control, head: dict[str, Any]) -> Iterator[list[Line]]:
    """The lines that ``head`` (of ``accounts/export``) begins, some thousand at a time. Ends the command
    where a closed month is not what it was when it was closed."""
    digests: list[str] = []
    cursor = head["cursor"]
    while cursor is not None:
        piece = control.perform("accounts/lines", {"month": head["month"], "cursor": cursor})
        cursor = piece["cursor"]
        digests += [piece["digest"]] if piece["digest"] else []
        yield [Line(*fields) for fields in piece["lines"]]
    if head["closed"] is not None and digest_over(digests) != head["closed"]["digest"]:
        raise click.ClickException(
            f"{head['month']} is not what it was when it was closed: its lines have been altered in the "
            "database. Restore it from a backup."
        )
