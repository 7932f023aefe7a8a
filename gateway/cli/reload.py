"""``imagegate reload``: have the running gateway read its configuration, or ask which one it serves with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click

from config.data_folder import data_folder_of
from gateway.cli.control import options, running_server

_BECAUSE = {
    "start": "read at the start",
    "files": "read when its files changed",
    "command": "read for 'imagegate reload'",
    "signal": "read for SIGHUP",
}


@click.command()
@click.option(
    "--status", is_flag=True, help="Only ask which version is in force, and why the last was refused."
)
@options
def reload(config: Path | None, data: Path | None, as_json: bool, *, status: bool) -> None:
    """Have the running gateway take over its changed configuration now.

    It does so by itself a second or two after a file has changed, unless server.watch is off. The files are
    checked whole and taken over whole: where anything is wrong, everything stays as it was. Requests that run
    keep the configuration that they began with. Exit status 1: the newest state was refused.
    """
    try:
        folder = data.absolute() if data is not None else data_folder_of(config)
    except OSError as error:
        raise click.ClickException(f"{config} cannot be read: {error.strerror}.") from None
    told = running_server(folder).perform("reload/status" if status else "reload", {})
    if as_json:
        click.echo(json.dumps(told))
    else:
        _show(told)
    raise SystemExit(0 if told["refused"] is None else 1)


def _show(told: dict[str, Any]) -> None:
    click.echo(
        f"Version {told['version']} of {told['origin']} ({told['digest']}) is in force since "
        f"{told['applied_at']}, {_BECAUSE[told['because']]}."
    )
    for setting in told["waiting_for_restart"]:
        click.echo(f"{setting} waits for a restart: what was set at the start holds.")
    if told["refused"] is not None:
        click.echo(f"Its newest state was refused at {told['refused']['at']}:", err=True)
        for problem in told["refused"]["problems"]:
            click.echo(f"  {problem}", err=True)
