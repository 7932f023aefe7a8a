"""``imagegate migrate``: bring the ledger's database to this version's schema before it is served on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import rich_click as click
from sqlalchemy.exc import DBAPIError

from config.loader import ConfigErrors, Loaded, load
from config.secrets import SecretMissing
from config.storage import database_url, with_data_folder
from gateway.ledger import migrate as schema
from gateway.ledger.lock import take_data_folder
from gateway.ledger.opening import open_store
from gateway.ledger.refusals import LedgerRefused
from gateway.ledger.store import is_away
from gateway.telemetry import log


@click.command()
@click.option(
    "--config", "config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one."
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for keys and ledger.")
def migrate(config: Path | None, data: Path | None) -> None:
    """Bring the database to this version's schema, and check the configuration on the way.

    `serve` does the same at its start. Run it by itself where a new version must not begin to serve before
    the schema is ready: as a job before a rollout. Commands that run at the same time wait for each other,
    and a database that is ready is left as it is. Exit status 0: it is ready.
    """
    log.configure("ERROR")
    try:
        loaded = load(config)
        if data is not None:
            loaded = replace(loaded, settings=with_data_folder(loaded.settings, data))
        click.echo(_said(asyncio.run(_migrated(loaded))))
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)  # as it is: a frame would break its lines
        raise SystemExit(1) from None
    except (LedgerRefused, SecretMissing, OSError) as error:
        raise click.ClickException(str(error)) from None


async def _migrated(loaded: Loaded) -> str | None:
    """The schema that was found."""
    url = database_url(loaded.settings, loaded.base)
    if not url.startswith("sqlite"):
        return await _upgraded(url, loaded.base)
    lock = take_data_folder(loaded.base / loaded.settings.storage.data)
    try:
        return await _upgraded(url, loaded.base)
    finally:
        lock.release()


async def _upgraded(url: str, base: Path) -> str | None:
    store = await open_store(url, base)
    try:
        return await store.write(schema.migrate)
    except Exception as error:
        if is_away(error):
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise LedgerRefused(f"The database of storage.database cannot be reached: {reason}.") from error
        raise
    finally:
        await store.close()


def _said(found: str | None) -> str:
    if found == schema.HEAD:
        return f"The database is ready: its schema is {schema.HEAD}."
    return f"The database is ready: its schema was {found or 'none'} and is {schema.HEAD}."
