"""``imagegate serve``: start the gateway and say how to use it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click
import structlog
import uvloop

from config.limits import LimitSettings
from config.loader import ConfigErrors, Loaded, load
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import with_data_folder
from gateway import process
from gateway.api.control import build_control_app
from gateway.app.gateway import Gateway, open_gateway
from gateway.app.reloading import Reloading
from gateway.cli.server import Server, address_of, listen
from gateway.cli.stopping import Stopping, Times
from gateway.cli.welcome import first_key, welcome
from gateway.engine.abandoned import abandon
from gateway.errors import GatewayError
from gateway.ledger.administration import Administration
from gateway.ledger.lock import HeldLock, take_data_folder
from gateway.ledger.refusals import ControlAddress, LedgerRefused
from gateway.quota.errors import UnsafeStore
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
    read = partial(_settings, config, host, port, data, daily_limit)
    try:
        with _hangups_wait():
            sys.exit(uvloop.run(_serve(read(), read, embedded=config is None)))
    except ConfigErrors as errors:
        _refuse(str(errors))
    except (LedgerRefused, SecretMissing, GatewayError, UnsafeStore, OSError, ValueError) as error:
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


@contextmanager
def _hangups_wait() -> Iterator[None]:
    """SIGHUP would end a process that does not listen for it yet. It is delivered when :func:`_on_signals`
    does, or at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _serve(loaded: Loaded, read: Callable[[], Loaded], *, embedded: bool) -> int:
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
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(open_gateway(loaded))
            reloading = Reloading(gateway, read, loaded)
            await stack.enter_async_context(_controlled(gateway, reloading, lock))
            server = Server(gateway, listener, connections=settings.server.max_connections)
            stopping = _on_signals(gateway, reloading, server)
            address = address_of(listener)
            key = await first_key(gateway, data)
            process.settle()
            welcome(gateway, loaded, address, key, embedded=embedded)
            await stack.enter_async_context(reloading.watched())
            _log.info(f"listening on {address}")
            await _run(gateway, server, stopping)
    finally:
        lock.release()
    return 0


@asynccontextmanager
async def _controlled(gateway: Gateway, reloading: Reloading, lock: HeldLock) -> AsyncIterator[None]:
    """Commands may ask this process for what its ledger holds, until it ends."""
    listener = listen("127.0.0.1", 0)
    token = secrets.token_urlsafe(32)

    async def perform(operation: str, body: Mapping[str, object]) -> dict[str, Any]:
        if operation == "reload":
            return (await reloading.reload("command")).whole()
        if operation == "reload/status":
            return reloading.stands.whole()
        # Made anew for each: projects and models are those of the configuration in force.
        administration = Administration(
            gateway.ledger,
            gateway.settings,
            lambda: gateway.pepper,
            model_of=gateway.limits.model_of,
            on_credit=gateway.keeping.credited,
        )
        return await administration.perform(operation, body)

    operations = build_control_app(perform, token)
    server = Server(operations, listener)
    serving = asyncio.create_task(server.run_until_closed())
    lock.publish(ControlAddress(address_of(listener), token))
    try:
        yield
    finally:
        server.close()
        await server.end(serving, _CONTROL_SECONDS)


def _on_signals(gateway: Gateway, reloading: Reloading, server: Server) -> Stopping:
    def times() -> Times:
        return Times(gateway.settings.server.drain.delay, gateway.grace)

    stopping = Stopping(gateway.engine.running, server, times)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.told, number)
    tasks: set[asyncio.Task[object]] = set()

    def reload() -> None:
        task: asyncio.Task[object] = loop.create_task(reloading.reload("signal"))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
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
                keeping, cut = gateway.keeping, gateway.engine.running.cut
                await abandon(keeping.keeper, gateway.ledger, keeping.store, cut)


def _with_daily_limit(settings: Settings, text: str) -> Settings:
    try:
        limits = [] if text == "none" else [LimitSettings.model_validate({"spend_usd": text, "per": "day"})]
    except ValueError:
        raise click.BadParameter(f"expected dollars such as 50 or 0.50, or none; got {text!r}") from None
    organization = settings.organization.model_copy(update={"limits": limits})
    return settings.model_copy(update={"organization": organization})
