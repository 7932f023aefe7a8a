"""How a command reaches the ledger: through the server that has it open, or by opening it itself.

On SQLite one process has the database open at a time. The data folder's lock says who that is: a server,
which is then asked over its control address, or nobody, in which case the command holds the lock while it
works. On PostgreSQL the database sorts that out, and the command opens it directly.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import rich_click as click

from config.loader import ConfigErrors, load
from config.own_catalog import catalog_of
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import database_url, with_data_folder
from gateway.errors import GatewayError
from gateway.ledger.administration import Administration
from gateway.ledger.ledger import Ledger
from gateway.ledger.lock import HeldLock, take_data_folder
from gateway.ledger.pepper import load_pepper
from gateway.ledger.refusals import ControlAddress, InUse, LedgerRefused
from gateway.quota.of_settings import LimitBook
from gateway.telemetry import log

CALL_SECONDS = 30.0
WAIT_SECONDS = 5.0
"""How long a command waits for another command to finish, or for a server that is just starting."""

_STEP_SECONDS = 0.1

Command = TypeVar("Command", bound=Callable[..., Any])


class Control(Protocol):
    """``perform`` as in gateway/ledger/administration.py; failures are ``click.ClickException``."""

    def perform(self, operation: str, body: Mapping[str, object]) -> dict[str, Any]: ...


def options(command: Command) -> Command:
    """``--config`` and ``--data``, as ``serve`` has them, and ``--json``."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder for keys and ledger."
        ),
        click.option(
            "--config",
            "config",
            type=click.Path(path_type=Path),
            help="YAML file; default: the embedded one.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def open_control(config: Path | None, data: Path | None) -> Iterator[Control]:
    """The way to the ledger that this configuration names. Ends the command where there is none."""
    log.configure("ERROR")
    try:
        loaded = load(config)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)  # as it is: a frame would break its lines
        raise SystemExit(1) from None
    settings, base = loaded.settings, loaded.base
    if data is not None:
        settings = with_data_folder(settings, data.absolute())
    try:
        url = database_url(settings, base)
        if not url.startswith("sqlite"):
            with _opened(url, settings, base) as control:
                yield control
            return
        found = _take(base / settings.storage.data)
        if isinstance(found, InUse):
            if found.control is None:
                raise found
            yield _Server(found.control, found.pid)
            return
        try:
            with _opened(url, settings, base) as control:
                yield control
        finally:
            found.release()
    except (LedgerRefused, SecretMissing, OSError) as error:
        raise click.ClickException(str(error)) from None


def running_server(folder: Path) -> Control:
    """The server that runs on this data folder. Ends the command where there is none."""
    nobody = click.ClickException(
        f"No imagegate serves on the data folder {folder}. Name the configuration that it was started with "
        "by --config, or its folder by --data."
    )
    if not folder.is_dir():
        raise nobody
    try:
        found = _take(folder)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if isinstance(found, InUse):
        if found.control is None:
            raise click.ClickException(str(found))
        return _Server(found.control, found.pid)
    found.release()
    raise nobody


def _take(folder: Path) -> HeldLock | InUse:
    """The lock, or whose it is. A holder without an address is a command at work or a server that is
    starting: both are waited for."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return take_data_folder(folder, wait=0)
        except InUse as busy:
            if busy.control is not None or time.monotonic() >= until:
                return busy
        time.sleep(_STEP_SECONDS)


class _Here:
    """Performs operations on a ledger that this command has opened."""

    def __init__(self, runner: asyncio.Runner, administration: Administration) -> None:
        self._runner = runner
        self._administration = administration

    def perform(self, operation: str, body: Mapping[str, object]) -> dict[str, Any]:
        try:
            return self._runner.run(self._administration.perform(operation, body))
        except GatewayError as error:
            raise click.ClickException(error.message) from None


@contextmanager
def _opened(url: str, settings: Settings, base: Path) -> Iterator[Control]:
    with asyncio.Runner() as runner:
        ledger = runner.run(Ledger.open(url, base))
        try:
            model_of = LimitBook(settings, catalog_of(settings)).model_of
            pepper = partial(load_pepper, settings, base)
            yield _Here(runner, Administration(ledger, settings, pepper, model_of=model_of))
        finally:
            runner.run(ledger.close())


class _Server:
    """Asks the running server. No proxy is ever used: the address is this machine's own."""

    def __init__(self, address: ControlAddress, pid: int | None) -> None:
        self._address = address
        self._pid = pid

    def perform(self, operation: str, body: Mapping[str, object]) -> dict[str, Any]:
        url = urlsplit(self._address.url)
        link = http.client.HTTPConnection(url.hostname or "", url.port, timeout=CALL_SECONDS)
        try:
            link.request(
                "POST",
                f"/{operation}",
                json.dumps(dict(body)),
                {"Authorization": f"Bearer {self._address.token}", "Content-Type": "application/json"},
            )
            response = link.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            raise click.ClickException(
                f"The running imagegate (process {self._pid}) holds the data folder but does not answer on "
                f"{self._address.url}. Wait for it to finish starting or stopping, or stop it, and try again."
            ) from None
        finally:
            link.close()
        if response.status != http.HTTPStatus.OK:
            raise click.ClickException(str(answer["error"]["message"]))
        return dict(answer)
