"""``imagegate restore``: put a backup in place, and make it a ledger of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from threading import Event
from typing import Any

import rich_click as click

from config.loader import Loaded
from config.secrets import SecretMissing
from config.storage import database_url
from gateway.cli.backup import settings_of
from gateway.cli.control import options
from gateway.errors import GatewayError, InvalidRequest
from gateway.ledger.accounts.journal import signing_key
from gateway.ledger.backup import copy
from gateway.ledger.contents import Contents
from gateway.ledger.ledger import Ledger
from gateway.ledger.lock import take_data_folder
from gateway.ledger.migrate import HEAD
from gateway.ledger.opening import sqlite_file
from gateway.ledger.refusals import LedgerRefused
from gateway.telemetry import log


@click.command()
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@options
def restore(backup: Path | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Put BACKUP in the place that the configuration names, where no database is yet, and bring it to this
    version's schema.

    Without BACKUP, say that the database which is there was restored or copied by other means (pg_restore, a
    snapshot, Litestream). Run it before the first start on any copy, with nothing else running on it: the
    ledger gets an id of its own, so that the counters of its limits are built from what it knows, and are
    never its original's.
    """
    log.configure("ERROR")
    loaded = settings_of(config, data)
    try:
        restored = _restored(loaded, None if backup is None else backup.absolute())
    except GatewayError as error:
        raise click.ClickException(error.message) from None
    except (LedgerRefused, SecretMissing, OSError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(restored))
        return
    newest = restored["newest_call"]
    click.echo(f"The ledger is in place as {restored['id']}, at schema {restored['schema']}.")
    click.echo(f"The newest call that it knows was received at {newest}." if newest else "It knows no calls.")
    if restored["open"]:
        click.echo(f"{restored['open']} calls have no known end; they count against limits as unknown.")
    if restored["warning"]:
        click.echo(f"Warning: {restored['warning']}", err=True)


def _restored(loaded: Loaded, backup: Path | None) -> dict[str, Any]:
    url = database_url(loaded.settings, loaded.base)
    place = sqlite_file(url, loaded.base)
    if place is None:
        if backup is not None:
            raise InvalidRequest("This ledger is in PostgreSQL: use pg_restore, then this without a file.")
        return asyncio.run(_opened(loaded, url))
    lock = take_data_folder(loaded.base / loaded.settings.storage.data)
    try:
        if backup is None:
            if not place.exists():
                raise InvalidRequest(
                    f"There is no ledger at {place}. Name the backup that shall be put there."
                )
            return asyncio.run(_opened(loaded, url))
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy(backup, place, Event())
        try:
            return asyncio.run(_opened(loaded, url))
        except BaseException:
            place.unlink()  # as if nothing had been done; the backup is as it was
            raise
    finally:
        lock.release()


async def _opened(loaded: Loaded, url: str) -> dict[str, Any]:
    """What the ledger is, once it has this version's schema and another id."""
    ledger = await Ledger.open(url, loaded.base)
    try:
        found = await ledger.contents()
        return {
            "id": await ledger.renew_id(),
            "schema": HEAD,
            "newest_call": None if found.newest is None else found.newest.isoformat(),
            "open": found.open,
            "keys": found.keys,
            "warning": await _of_secret(loaded, ledger, found),
        }
    finally:
        await ledger.close()


async def _of_secret(loaded: Loaded, ledger: Ledger, found: Contents) -> str | None:
    """What is wrong with server.secret, which is part of a ledger though it lies beside it."""
    try:
        # Never made where it is missing: the backup's own belongs there.
        pepper = loaded.settings.server.secret.resolve(loaded.base).reveal().encode()
    except SecretMissing as missing:
        if not found.keys:
            return None
        return (
            f"{missing}. The {found.keys} keys that were made here work only with the server.secret of the "
            "backup: put it there before the first start, which would make another one."
        )
    if (await ledger.accounts.book(signing_key(pepper))).broken != 1:
        return None
    return (
        "The journal was signed under another server.secret. With this one, the keys that were made here do "
        "not work: put that of the backup in its place."
    )
