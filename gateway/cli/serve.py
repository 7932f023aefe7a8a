"""``imagegate serve``: start the gateway and say how to use it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import rich_click as click
import structlog
import uvicorn
import uvloop

from config.loader import ConfigErrors, Loaded, load
from config.schema import LimitSettings, Settings
from config.secrets import SecretMissing
from config.storage import with_data_folder
from gateway import process
from gateway.api.connection import Connection
from gateway.api.control import build_control_app
from gateway.app import Gateway, open_gateway
from gateway.cli.welcome import first_key, welcome
from gateway.engine.engine import LATE
from gateway.errors import GatewayError
from gateway.ledger.lock import take_data_folder
from gateway.ledger.refusals import ControlAddress, LedgerRefused
from gateway.telemetry import log

_log = structlog.get_logger("imagegate")
_DRAIN_MARGIN = LATE + 15.0


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
        listener = _listen(settings.server.host, settings.server.port)
        async with open_gateway(loaded) as gateway:
            control_socket = _listen("127.0.0.1", 0)
            token = secrets.token_urlsafe(32)
            operations = build_control_app(
                gateway.ledger,
                gateway.pepper,
                token,
                settings,
                model_of=gateway.limits.model_of,
                on_credit=gateway.keeping.credited,
            )
            control = _Server(_config(operations, control_socket))
            control_task = asyncio.create_task(control.serve([control_socket]))
            lock.publish(ControlAddress(f"http://127.0.0.1:{control_socket.getsockname()[1]}", token))
            stopped = True
            try:
                stopped = await _run(gateway, listener, loaded, data, embedded)
            finally:
                control.should_exit = True
                await control_task
                patience = 0.0 if stopped else settings.routing.deadline + _DRAIN_MARGIN
                if not await gateway.engine.running.drained(patience):
                    _log.error("killed_in_flight", requests=len(gateway.engine.running))
    finally:
        lock.release()
    return 0


async def _run(gateway: Gateway, listener: socket.socket, loaded: Loaded, data: Path, embedded: bool) -> bool:
    """Serve until told to stop; True when told twice, so that nothing is waited for any more."""
    server = _Server(
        _config(
            gateway.app,
            listener,
            loaded.settings.routing.deadline,
            loaded.settings.server.max_connections,
        )
    )

    def stop(number: signal.Signals) -> None:
        # It may take minutes, and somebody who sees nothing reaches for kill -9.
        most = round(loaded.settings.routing.deadline + _DRAIN_MARGIN)
        running = len(gateway.engine.running)
        _log.info("stopping; what runs is finished first", running=running, at_most_seconds=most)
        server.handle_exit(number, None)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    address = _address(listener)
    key = await first_key(gateway, data)
    welcome(gateway, loaded, address, key, embedded=embedded)
    _log.info(f"listening on {address}")
    await server.serve([listener])
    return server.force_exit


def _config(
    app: object, listener: socket.socket, deadline: float = 10.0, connections: int | None = None
) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        fd=listener.fileno(),
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        # server.trusted_proxies decides whom to believe; uvicorn would believe every loopback peer.
        proxy_headers=False,
        limit_concurrency=connections,
        # Above the idle time of the usual load balancers (60 s), so that they close first.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=round(deadline + _DRAIN_MARGIN),
    )


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again once it has stopped, which would end the process before
    it has settled what runs, closed the ledger and given its lock back."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Choose another port with --port (0 picks a free one)."
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


def _with_daily_limit(settings: Settings, text: str) -> Settings:
    try:
        limits = [] if text == "none" else [LimitSettings.model_validate({"spend_usd": text, "per": "day"})]
    except ValueError:
        raise click.BadParameter(f"expected dollars such as 50 or 0.50, or none; got {text!r}") from None
    organization = settings.organization.model_copy(update={"limits": limits})
    return settings.model_copy(update={"organization": organization})
