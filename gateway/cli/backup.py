"""``imagegate backup``: a copy of the ledger, taken while the server works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import rich_click as click

from config.loader import ConfigErrors, Loaded, load
from config.secrets import SecretMissing
from config.storage import database_url, media_place, with_data_folder
from gateway.cli.control import options, running_server
from gateway.errors import GatewayError
from gateway.ledger.administration import copied_json
from gateway.ledger.backup import copy
from gateway.ledger.backups import ELSEWHERE
from gateway.ledger.lock import take_data_folder
from gateway.ledger.opening import sqlite_file
from gateway.ledger.refusals import InUse, LedgerRefused
from gateway.telemetry import log


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@options
def backup(target: Path, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Copy the ledger to the file TARGET, whole and checked, beside a running server or without one.

    The database is copied as it is, in whatever schema it has. What else belongs to a backup is printed with
    it. A ledger in PostgreSQL is backed up by PostgreSQL's own tools.
    """
    log.configure("ERROR")
    loaded = settings_of(config, data)
    try:
        made = _made(loaded, target.absolute())
    except GatewayError as error:
        raise click.ClickException(error.message) from None
    except (LedgerRefused, SecretMissing, OSError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(made))
        return
    calls = f"with calls up to {made['newest_call']}" if made["newest_call"] else "without calls"
    click.echo(
        f"{made['path']}: {made['bytes']} bytes, schema {made['schema']}, {calls}, {made['keys']} keys."
    )
    click.echo("Back up with it, where they are yours to keep:")
    for what, why in besides(loaded):
        click.echo(f"  {what}: {why}")


def settings_of(config: Path | None, data: Path | None) -> Loaded:
    """The configuration, or the end of the command where it is wrong."""
    try:
        loaded = load(config)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)  # as it is: a frame would break its lines
        raise SystemExit(1) from None
    if data is None:
        return loaded
    return replace(loaded, settings=with_data_folder(loaded.settings, data))


def _made(loaded: Loaded, target: Path) -> dict[str, Any]:
    place = sqlite_file(database_url(loaded.settings, loaded.base), loaded.base)
    if place is None:
        raise click.ClickException(ELSEWHERE)
    if not place.exists():
        raise click.ClickException(f"There is no ledger at {place}.")
    folder = loaded.base / loaded.settings.storage.data
    try:
        lock = take_data_folder(folder, wait=0)
    except InUse:
        return _asked(folder, target)
    # Not through a ledger that is opened for it, which would bring the database to this version's schema.
    try:
        return copied_json(copy(place, target, Event()))
    finally:
        lock.release()


def _asked(folder: Path, target: Path) -> dict[str, Any]:
    """Made by the server that runs on the folder."""
    control = running_server(folder)
    step = control.perform("backup", {"target": str(target)})
    while step["done"] is None:
        step = control.perform("backup", {"backup": step["backup"]})
    return dict(step["done"])


def besides(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """What a ledger is not whole without, and why."""
    settings, base = loaded.settings, loaded.base
    secret = settings.server.secret
    where = str(base / secret.source) if secret.scheme == "file" else str(secret)
    yield where, "server.secret; without it no key that was made here works, and no journal can be checked"
    yield str(base / settings.storage.data / "arrears"), "what calls cost that the database has not taken yet"
    place = media_place(settings.storage.media, base)
    kept = str(place) if isinstance(place, Path) else settings.storage.media
    yield kept, "pictures behind links, and answers that somebody may come back for, of the last day"
    yield "the configuration", "with its included files and what its env: and file: references name"
