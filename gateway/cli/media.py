"""``imagegate media``: take links back, and remove old pictures now.

The place of media is safe for several processes at once, so a running server is not asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import rich_click as click

from config.loader import ConfigErrors, load
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import with_data_folder
from gateway.cli.control import options
from gateway.errors import GatewayError
from gateway.media.links import id_in
from gateway.media.shelf import MediaFailed
from gateway.media.store import MediaStore, open_media
from gateway.media.sweeping import Swept
from gateway.telemetry import log


@click.group()
def media() -> None:
    """Pictures that are answered as links. Works beside a running server and without one."""


@media.command()
@click.argument("what", nargs=-1, required=True, metavar="LINK|ID|REQUEST_ID…")
@options
def revoke(what: tuple[str, ...], config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove pictures, so that every link to them answers 404.

    Each is named by a link (of the gateway's or presigned), by its id, or by the id of the request (req_…)
    that made it, which may have made several. What somebody has already fetched is theirs.
    """
    removed = asyncio.run(_revoke(what, config, data))
    if as_json:
        click.echo(json.dumps({"removed": removed}))
    else:
        click.echo(f"{len(removed)} removed." if removed else "Nothing was there to remove.")
    if not removed:
        raise SystemExit(1)


@media.command()
@options
def sweep(config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove what is older than media.keep, and the oldest beyond media.max_total, as a server does by
    itself."""
    swept = asyncio.run(_sweep(config, data))
    if as_json:
        click.echo(json.dumps(asdict(swept)))
        return
    click.echo(
        f"{swept.removed} removed ({swept.freed} bytes), {swept.early} of them while a link could still "
        f"work. {swept.left} left ({swept.held} bytes)."
    )


async def _revoke(what: Sequence[str], config: Path | None, data: Path | None) -> list[str]:
    async with _opened(config, data) as store:
        ids = [id for text in what for id in await _ids(store, text)]
        return [id for id in dict.fromkeys(ids) if await store.delete(id)]


async def _ids(store: MediaStore, text: str) -> list[str]:
    id = id_in(text)
    if id is not None:
        return [id]
    if text.startswith("req_"):
        return await store.of_request(text)
    raise click.UsageError(f"{text} is no link to a picture, no id of one, and no id of a request.")


async def _sweep(config: Path | None, data: Path | None) -> Swept:
    async with _opened(config, data) as store:
        return await store.sweep()


@asynccontextmanager
async def _opened(config: Path | None, data: Path | None) -> AsyncIterator[MediaStore]:
    """The store that a server of this configuration uses. Ends the command where there is none."""
    settings, base = _settings(config, data)
    try:
        # Not made where it is missing: a secret of its own would find nothing.
        secret = settings.server.secret.resolve(base).reveal().encode()
        store = open_media(settings, base, secret)
        try:
            yield store
        finally:
            await store.aclose()
    except MediaFailed as failed:
        raise click.ClickException(f"The store cannot be used: {failed.strerror}.") from None
    except (GatewayError, SecretMissing) as error:
        raise click.ClickException(str(error)) from None


def _settings(config: Path | None, data: Path | None) -> tuple[Settings, Path]:
    log.configure("ERROR")
    try:
        loaded = load(config)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)  # as it is: a frame would break its lines
        raise SystemExit(1) from None
    if data is None:
        return loaded.settings, loaded.base
    return with_data_folder(loaded.settings, data.absolute()), loaded.base
