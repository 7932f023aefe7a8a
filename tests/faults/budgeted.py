"""A gateway whose one project has limits, and where they stand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.noon import ZONE
from tests.simulators.openai_upstream import Upstream

DAY = {"spend_usd": 1, "per": "day"}

HIGH = 210_845_000
"""Nano-dollars held for :func:`high`; 0.21072 for the picture and 25 tokens of text at most."""


def config(
    upstream: Upstream,
    *limits: dict[str, Any],
    quota: str = "local",
    organization: Sequence[dict[str, Any]] = (),
    project: dict[str, Any] | None = None,
    routing: dict[str, Any] | None = None,
    storage: dict[str, Any] | None = None,
    target: dict[str, Any] | None = None,
    provider: dict[str, Any] | None = None,
) -> str:
    account = {"type": "openai", "base_url": upstream.base_url, "api_key": "file:key1"}
    key = {"name": "suite", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    document = {
        "providers": {"up": {**account, **(provider or {})}},
        "models": {"gpt-image-2": {"targets": [{"provider": "up", **(target or {})}]}},
        "routing": routing or {},
        "storage": {"quota": quota, **(storage or {})},
        "organization": {
            "timezone": ZONE,
            "limits": list(organization),
            "projects": [{"name": "tests", "limits": list(limits), "keys": [key], **(project or {})}],
        },
    }
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in document.items()) + "\n"


@asynccontextmanager
async def budgeted(
    upstream: Upstream, folder: Path, *limits: dict[str, Any], **options: Any
) -> AsyncIterator[Here]:
    folder.mkdir(exist_ok=True)
    (folder / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, *limits, **options), folder) as here:
        yield here


async def high(here: Here, **fields: Any) -> httpx.Response:
    return await here.generate(prompt="a red cat", quality="high", **fields)


def spent(call: Any) -> float:
    """Dollars that the upstream billed for a call, by its own record."""
    usage = call.usage
    if usage is None:
        return 0.0
    return float(round(usage["input_tokens"] * 5_000 + usage["output_tokens"] * 30_000) / 1e9)


def billed(upstream: Upstream) -> float:
    """Dollars for all its calls."""
    return round(sum(spent(call) for call in upstream.images), 9)


async def standing(here: Here, limit: int = 0) -> tuple[float, float, float]:
    """Used, held and unknown of one of the key's limits."""
    answer = await here.client.get("/v1/usage")
    assert answer.status_code == 200, answer.text
    found = answer.json()["limits"][limit]
    return float(found["used"]), float(found["held"]), float(found["unknown"])


async def until_standing(here: Here, used: float, seconds: float = 30.0) -> None:
    """Wait until that much is used and nothing is held."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        answer = await here.client.get("/v1/usage")
        if answer.status_code == 200:
            found = answer.json()["limits"][0]
            if (float(found["used"]), float(found["held"])) == (used, 0.0):
                return
        assert loop.time() < until, answer.text
        await asyncio.sleep(0.1)


@contextmanager
def locked(database: Path) -> Iterator[sqlite3.Connection]:
    """The ledger takes nothing meanwhile."""
    link = sqlite3.connect(database, isolation_level=None, timeout=10)
    link.execute("BEGIN IMMEDIATE")
    try:
        yield link
    finally:
        link.close()


def refused(answer: httpx.Response, status: int, code: str, *, again: bool) -> dict[str, Any]:
    """The error object of a refusal, once it is what it must be."""
    error: dict[str, Any] = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert answer.headers["x-should-retry"] == str(again).lower()
    assert set(error) >= {"message", "type", "param", "code"}
    return error
