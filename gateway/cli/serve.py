"""``imagegate serve``: start the gateway and say how to use it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import rich_click as click
import structlog
import uvloop

from config.drain import grace_of
from config.loader import ConfigErrors, Loaded, load
from config.schema import LimitSettings, Settings
from config.secrets import SecretMissing
from config.storage import with_data_folder
from gateway import process
from gateway.api.control import build_control_app
from gateway.app import Gateway, open_gateway
from gateway.cli.server import Server, address_of, listen
from gateway.cli.stopping import Stopping, Times
from gateway.cli.welcome import first_key, welcome
from gateway.engine.abandoned import abandon
from gateway.errors import GatewayError
from gateway.ledger.lock import HeldLock, take_data_folder
from gateway.ledger.refusals import ControlAddress, LedgerRefused
from gateway.telemetry import log

_log = structlog.get_logger("imagegate")
FLUSH_SECONDS = 5.0
"""For clients to take the end of an answer that was given to their sockets."""

_ABANDON_SECONDS = 5.0
"""To write down what is broken off: half of what the grace leaves for the end."""

_CONTROL_SECONDS = 3.0
"""For a command's operation that is under way when the process ends."""


@click.command()
@click.option(
    "--config", "config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one."
)
@click.option("--host", help="Address to listen on.  [default: from the config, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks a free one.  [default: 8080]")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for keys and ledger.")
@click.option(
    "--daily-limit",
    metavar="USD|none",
    help="Embedded default only: what real providers may cost per day.  [default: 10]",
)
def serve(
    config: Path | None, host: str | None, port: int | None, data: Path | None, daily_limit: str | None
) -> None:
    """Start the gateway.

    Without --config it runs on its embedded default: SQLite and keys in ./data, the 'sandbox' model, and
    every OpenAI image model when OPENAI_API_KEY is set.
    """
    log.configure()
    try:
        loaded = _settings(config, host, port, data, daily_limit)
        sys.exit(uvloop.run(_serve(loaded, embedded=config is None)))
    except ConfigErrors as errors:
        _refuse(str(errors))
    except (LedgerRefused, SecretMissing, GatewayError, OSError, ValueError) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse(reason: str) -> None:
    click.echo(f"imagegate cannot start.\n{reason}", err=True)
    sys.exit(1)


def _settings(
    config: Path | None, host: str | None, port: int | None, data: Path | None, daily_limit: str | None
) -> Loaded:
    if daily_limit is not None and config is not None:
        raise click.UsageError(
            "--daily-limit is for the embedded default; with --config, set organization.limits."
        )
    loaded = load(config)
    if data is not None:
        loaded = replace(loaded, settings=with_data_folder(loaded.settings, data))
    if daily_limit is not None:
        loaded = replace(loaded, settings=_with_daily_limit(loaded.settings, daily_limit))
    server = loaded.settings.server
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = loaded.settings.model_copy(update={"server": server.model_copy(update=changes)})
    return replace(loaded, settings=settings)


async def _serve(loaded: Loaded, *, embedded: bool) -> int:
    settings = loaded.settings
    process.tune_allocator()
    files = process.raise_file_limit()
    if files < process.WANTED_FILES:
        _log.warning("few_open_files", limit=files, wanted=process.WANTED_FILES)
    for warning in loaded.warnings:
        _log.warning("config", detail=warning)
    data = loaded.base / settings.storage.data
    lock = take_data_folder(data)
    try:
        listener = listen(settings.server.host, settings.server.port)
        async with open_gateway(loaded) as gateway, _controlled(gateway, lock):
            server = Server(gateway.app, listener, connections=settings.server.max_connections)
            stopping = _on_signals(gateway, server)
            address = address_of(listener)
            key = await first_key(gateway, data)
            process.settle()
            welcome(gateway, loaded, address, key, embedded=embedded)
            _log.info(f"listening on {address}")
            await _run(gateway, server, stopping)
    finally:
        lock.release()
    return 0


@asynccontextmanager
async def _controlled(gateway: Gateway, lock: HeldLock) -> AsyncIterator[None]:
    """Commands may ask this process for what its ledger holds, until it ends."""
    listener = listen("127.0.0.1", 0)
    token = secrets.token_urlsafe(32)
    operations = build_control_app(
        gateway.ledger,
        gateway.pepper,
        token,
        gateway.settings,
        model_of=gateway.limits.model_of,
        on_credit=gateway.keeping.credited,
    )
    server = Server(operations, listener)
    serving = asyncio.create_task(server.run_until_closed())
    lock.publish(ControlAddress(address_of(listener), token))
    try:
        yield
    finally:
        server.close()
        await server.end(serving, _CONTROL_SECONDS)


def _on_signals(gateway: Gateway, server: Server) -> Stopping:
    drain = gateway.settings.server.drain
    times = Times(drain.delay, grace_of(drain, gateway.settings.routing))
    stopping = Stopping(gateway.engine.running, server, times)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.told, number)
    return stopping


async def _run(gateway: Gateway, server: Server, stopping: Stopping) -> None:
    """Serve until told to stop, and through the drain."""
    serving = asyncio.create_task(server.run_until_closed())
    stopped = asyncio.create_task(stopping.until_done())
    await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    # The last connection may go long before the last call; a server that ends untold has failed.
    is_drained = stopping.begun and await stopped
    stopped.cancel()
    await server.end(serving, FLUSH_SECONDS if is_drained else 0.0)
    if not is_drained:
        with suppress(TimeoutError):  # then the next start, or the end of their leases, finds them
            async with asyncio.timeout(_ABANDON_SECONDS):
                await gateway.engine.running.cancel()
                await abandon(gateway.keeping.keeper, gateway.ledger, gateway.keeping.store)


def _with_daily_limit(settings: Settings, text: str) -> Settings:
    try:
        limits = [] if text == "none" else [LimitSettings.model_validate({"spend_usd": text, "per": "day"})]
    except ValueError:
        raise click.BadParameter(f"expected dollars such as 50 or 0.50, or none; got {text!r}") from None
    organization = settings.organization.model_copy(update={"limits": limits})
    return settings.model_copy(update={"organization": organization})
