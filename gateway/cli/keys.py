"""``imagegate keys``: make, list and revoke API keys."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config.units import parse_seconds
from gateway.cli.control import open_control, options

_WIDE = 200


@click.group()
def keys() -> None:
    """Make, list and revoke API keys. Works beside a running server and without one."""


@keys.command()
@click.option("--name", required=True, help="What the key is for; shown in lists and reports.")
@click.option("--project", help="The project's name or id.  [default: the only one declared, else 'default']")
@click.option(
    "--expires", metavar="DURATION", help="How long it is valid, such as 30d or 12h.  [default: for ever]"
)
@click.option("--model", "models", multiple=True, help="A model it may use; repeat for more.  [default: all]")
@options
def create(
    name: str,
    project: str | None,
    expires: str | None,
    models: tuple[str, ...],
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Make a key. It is printed to stdout this once; everything else goes to stderr."""
    body: dict[str, object] = {"name": name, "project": project, "models": list(models) or None}
    if expires is not None:
        body["expires_at"] = (datetime.now(UTC) + _duration(expires)).isoformat()
    with open_control(config, data) as control:
        made = control.perform("keys/create", body)
    if as_json:
        click.echo(json.dumps(made))
        return
    until = f", valid until {_minute(made['expires_at'])}" if made["expires_at"] else ""
    click.echo(f"Key {made['id']} for project {made['project_id']}{until}. It is not shown again:", err=True)
    click.echo(made["key"])


@keys.command(name="list")
@options
def list_(config: Path | None, data: Path | None, as_json: bool) -> None:
    """List the keys made here. Those that the config file declares are not in the list."""
    with open_control(config, data) as control:
        listed = control.perform("keys/list", {})
    if as_json:
        click.echo(json.dumps(listed))
        return
    table = Table(box=None)
    for title in ("id", "name", "project", "key", "models", "created", "expires", "last used", "state"):
        table.add_column(title, no_wrap=True)
    for key in listed["keys"]:
        cells = [
            key["id"],
            key["name"],
            key["project_id"],
            key["redacted"],
            ", ".join(key["models"] or ["all"]),
        ]
        cells += [_minute(key[moment]) for moment in ("created_at", "expires_at", "last_used_at")]
        table.add_row(*map(escape, [*cells, _state(key)]))
    console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@options
def revoke(key_id: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """End a key for good. Revoking it again changes nothing."""
    with open_control(config, data) as control:
        revoked = control.perform("keys/revoke", {"id": key_id})
    if as_json:
        click.echo(json.dumps(revoked))
    else:
        click.echo(
            f"Key {revoked['id']} ({revoked['name']}) is revoked since {_minute(revoked['revoked_at'])}."
        )


def console() -> Console:
    """For tables: as wide as the terminal, and never cut where there is none."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE)


def _duration(text: str) -> timedelta:
    try:
        duration = timedelta(seconds=parse_seconds(text))
        datetime.now(UTC) + duration
    except (ValueError, OverflowError):
        raise click.BadParameter("expected a duration such as 30d or 12h", param_hint="--expires") from None
    return duration


def _minute(moment: str | None) -> str:
    return "-" if moment is None else datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M UTC")


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    expires = key["expires_at"]
    return (
        "expired" if expires is not None and datetime.fromisoformat(expires) <= datetime.now(UTC) else "valid"
    )
