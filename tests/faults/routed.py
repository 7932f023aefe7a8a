"""A gateway with several upstreams behind one public model, and the policy under test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.noon import ZONE
from tests.simulators.openai_upstream import Upstream

LOW, HALF = 0.2, 0.1
"""Dollars for a picture of the first and of every later upstream, where prices are set."""


def config(
    upstreams: Mapping[str, Upstream],
    *,
    routing: Mapping[str, Any] | None = None,
    project: Mapping[str, Any] | None = None,
    prices: Mapping[str, float] | None = None,
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    models: Mapping[str, Any] | None = None,
    storage: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
) -> str:
    """gpt-image-2 on each upstream in turn; ``prices`` are dollars a picture, by the upstream's name."""
    accounts = {
        name: {
            "type": "openai",
            "base_url": upstream.base_url,
            "api_key": "file:key",
            **((providers or {}).get(name, {})),
        }
        for name, upstream in upstreams.items()
    }
    for account in accounts.values():
        if "api_keys" in account:
            del account["api_key"]
    targets = [
        {"provider": name, **({"prices": [{"per_image": prices[name]}]} if prices else {})}
        for name in upstreams
    ]
    key = {"name": "suite", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    document = {
        "providers": accounts,
        "models": {"gpt-image-2": {"targets": targets}, **(models or {})},
        "routing": dict(routing or {}),
        "storage": dict(storage or {}),
        "server": dict(server or {}),
        "organization": {
            "timezone": ZONE,
            "projects": [{"name": "tests", "keys": [key], **(project or {})}],
        },
    }
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in document.items()) + "\n"


@asynccontextmanager
async def routed(upstreams: Mapping[str, Upstream], folder: Path, **options: Any) -> AsyncIterator[Here]:
    folder.mkdir(exist_ok=True)
    (folder / "key").write_text(next(iter(upstreams.values())).key)
    async with gateway_here(config(upstreams, **options), folder) as here:
        yield here


def told(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, code and x-should-retry of an error."""
    return answer.status_code, answer.json()["error"]["code"], answer.headers.get("x-should-retry")


async def followed(here: Here) -> list[tuple[str, str | None, str | None, str | None]]:
    """Of each attempt: its provider, its certainty, what followed and why."""
    return [
        (row["provider"], row["certainty"], row["step"], row["because"])
        for row in await here.rows("attempts")
    ]
