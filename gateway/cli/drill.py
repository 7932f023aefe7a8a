"""``imagegate drill``: prove on this machine what the gateway promises."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import rich_click as click
import uvicorn
from redis.exceptions import RedisError
from rich.table import Table

from config.loader import Loaded
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import quota_url
from gateway.api.connection import Connection
from gateway.app.gateway import Gateway, open_gateway
from gateway.cli.keys import console
from gateway.errors import GatewayError
from gateway.ledger.refusals import LedgerRefused
from gateway.quota.connection import connect
from gateway.quota.errors import UnsafeStore
from gateway.quota.in_epoch import tag_of
from gateway.telemetry import log

_LIKE = "gpt-image-2"
_CALL = {"model": "drill", "prompt": "a red cat", "size": "1024x1024", "quality": "high"}
_LATENCY = 0.15
"""Of a medium picture; a high one takes twice as long, so that all calls are there before the first ends."""

_LOOK_SECONDS = 0.02
_NANO = Decimal(1_000_000_000)


@click.group()
def drill() -> None:
    """Prove on this machine what the gateway promises. Nothing real is called or spent."""


@drill.command()
@click.option(
    "--calls", type=click.IntRange(1, 2000), default=64, show_default=True, help="Fired at the same time."
)
@click.option("--usd", default="1", show_default=True, metavar="USD", help="What the project may spend.")
@click.option(
    "--quota",
    metavar="URL",
    default="local",
    show_default=True,
    help="Where limits are counted: local, or redis://HOST:PORT/DB (or the env:NAME that holds it); "
    "other counters there are not touched.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def budget(calls: int, usd: str, quota: str, as_json: bool) -> None:
    """Fire parallel calls at a project that can pay for a few of them.

    Starts a gateway of its own on a free port, with a ledger in a temporary folder, and a sandbox that is
    priced like gpt-image-2. Exit status 0: the limit held, and the counters agree with the ledger; 1: they
    did not, or a call failed.
    """
    log.configure("ERROR")
    with tempfile.TemporaryDirectory(prefix="imagegate-drill-") as folder:
        key = secrets.token_urlsafe(24)
        try:
            loaded = _settings(Path(folder), key, usd, quota)
            result = asyncio.run(_drill(loaded, key, calls, Decimal(usd)))
        except httpx.HTTPStatusError as error:
            said = error.response.json()["error"]["message"]
            raise click.ClickException(
                f"The drill's gateway cannot tell where its limit stands: {said}"
            ) from None
        except (LedgerRefused, SecretMissing, GatewayError, UnsafeStore, OSError, ValueError) as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(result.told()))
    else:
        _show(result)
    sys.exit(0 if result.held_good else 1)


@dataclass(frozen=True, slots=True)
class _Result:
    """``most`` is the highest that spent, held and unknown came to together while the calls ran; the others
    are how things stand after the last of them. Dollars."""

    calls: int
    limit: Decimal
    needed: Decimal | None
    admitted: int
    refused: int
    failed: int
    spent: Decimal
    held: Decimal
    unknown: Decimal
    most: Decimal
    ledger: Decimal
    seconds: float

    @property
    def overspent(self) -> Decimal:
        return max(max(self.most, self.ledger) - self.limit, Decimal(0))

    @property
    def held_good(self) -> bool:
        return not self.overspent and not self.failed and self.ledger == self.spent and not self.held

    def told(self) -> dict[str, object]:
        money = {
            "limit_usd": self.limit, "call_holds_usd": self.needed, "spent_usd": self.spent,
            "ledger_usd": self.ledger, "held_usd": self.held, "unknown_usd": self.unknown,
            "most_usd": self.most, "overspent_usd": self.overspent,
        }  # fmt: skip
        counts = {"admitted": self.admitted, "refused": self.refused, "failed": self.failed}
        texts = {name: None if amount is None else f"{amount:f}" for name, amount in money.items()}
        return {"ok": self.held_good, "calls": self.calls, **counts, **texts, "seconds": self.seconds}


def _settings(folder: Path, key: str, usd: str, quota: str) -> Loaded:
    """One project with one key and one limit, and nothing else that could refuse or spend."""
    target = {"provider": "sandbox", "model": "sandbox", "prices": [{"like": _LIKE}]}
    project = {
        "name": "drill",
        "limits": [{"spend_usd": usd, "per": "total"}],
        "keys": [{"name": "drill", "sha256": sha256(key.encode()).hexdigest()}],
    }
    try:
        settings = Settings.model_validate(
            {
                "providers": {"sandbox": {"type": "sandbox", "latency": _LATENCY}},
                "models": {"drill": {"targets": [target]}},
                "organization": {"projects": [project]},
                "storage": {"quota": quota},
            }
        )
    except ValueError as error:
        raise click.UsageError(f"--usd {usd} or --quota cannot be used: {error}") from None
    return Loaded(settings, folder, "drill")


async def _drill(loaded: Loaded, key: str, calls: int, limit: Decimal) -> _Result:
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=calls + 1)
    instance_id = None
    try:
        async with _serving(loaded) as (gateway, address):
            instance_id = gateway.ledger.instance_id
            async with httpx.AsyncClient(
                base_url=address, headers=headers, limits=limits, timeout=60, trust_env=False
            ) as client:
                return await _fire(gateway, client, calls, limit)
    finally:
        # Not before the gateway has gone: it would build its counters anew.
        await _forget(quota_url(loaded.settings, loaded.base), instance_id)


async def _fire(gateway: Gateway, client: httpx.AsyncClient, calls: int, limit: Decimal) -> _Result:
    begun = perf_counter()
    seen: list[Decimal] = []
    looking = asyncio.create_task(_look(client, seen))
    answers = await asyncio.gather(
        *(client.post("/v1/images/generations", json=_CALL) for _ in range(calls)), return_exceptions=True
    )
    seconds = perf_counter() - begun
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await gateway.engine.running.drained(10)
    outcomes: Counter[str] = Counter(_outcome(answer) for answer in answers)
    standing = await _standing(client)
    day, now = timedelta(days=1), datetime.now(UTC)
    report = await gateway.ledger.usage(since=now - day, until=now + day, by=(), timezone="UTC")
    return _Result(
        calls=calls,
        limit=limit,
        needed=next((needed for answer in answers if (needed := _needed(answer)) is not None), None),
        admitted=outcomes["admitted"],
        refused=outcomes["refused"],
        failed=outcomes["failed"],
        spent=standing["used"],
        held=standing["held"],
        unknown=standing["unknown"],
        most=max([*seen, sum(standing.values(), Decimal(0))]),
        ledger=(report.total.cost or 0) / _NANO,
        seconds=round(seconds, 3),
    )


def _outcome(answer: httpx.Response | BaseException) -> str:
    if isinstance(answer, BaseException):
        return "failed"
    if answer.status_code == 429 and answer.json()["error"]["type"] == "insufficient_quota":
        return "refused"
    return "admitted" if answer.status_code == 200 else "failed"


def _needed(answer: httpx.Response | BaseException) -> Decimal | None:
    """What one call holds, as a refusal tells it."""
    if isinstance(answer, BaseException) or _outcome(answer) != "refused":
        return None
    return Decimal(answer.json()["error"]["limits"][0]["needed"])


async def _look(client: httpx.AsyncClient, seen: list[Decimal]) -> None:
    """Where the limit stands, over and over while the calls run."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            seen.append(sum((await _standing(client)).values(), Decimal(0)))
        await asyncio.sleep(_LOOK_SECONDS)


async def _standing(client: httpx.AsyncClient) -> dict[str, Decimal]:
    answer = await client.get("/v1/usage")
    answer.raise_for_status()
    (limit,) = answer.json()["limits"]
    return {name: Decimal(limit[name]) for name in ("used", "held", "unknown")}


@asynccontextmanager
async def _serving(loaded: Loaded) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway behind a real socket; yields it with its address."""
    async with open_gateway(loaded) as gateway:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        # uvicorn's own logging would write an access line for each call.
        server = _Server(uvicorn.Config(gateway, http=Connection, ws="none", log_config=None))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield gateway, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """Leaves signals alone: an interrupt ends the drill like any other command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _forget(url: str | None, instance_id: str | None) -> None:
    """Take the drill's counters out of Redis; they are named after its own ledger."""
    if url is None or instance_id is None:
        return
    link = connect(url, tag_of(instance_id))
    try:
        async for name in link.scan_iter(match=f"imagegate:{{{instance_id}}}:*", count=1000):
            await link.delete(name)
    except (RedisError, OSError):
        click.echo(
            "The Redis does not answer; if the drill has counted in it, its counters stay there.", err=True
        )
    finally:
        await link.aclose()


def _show(result: _Result) -> None:
    console().print(f"{result.calls} parallel calls, a limit of ${result.limit:f}, {result.seconds:.1f} s")
    table = Table(show_header=False, box=None)
    rows: list[tuple[str, Any]] = [
        ("one call holds", "-" if result.needed is None else f"${result.needed:f}"),
        ("admitted", result.admitted),
        ("refused", result.refused),
        ("failed", result.failed),
        ("spent", f"${result.spent:f}"),
        ("in the ledger", f"${result.ledger:f}"),
        ("still held", f"${result.held:f}"),
        ("unknown", f"${result.unknown:f}"),
        ("highest seen", f"${result.most:f}"),
        ("overspent", f"${result.overspent:f}"),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    console().print(table)
    console().print("the limit held" if result.held_good else "THE LIMIT DID NOT HOLD, or calls failed")
