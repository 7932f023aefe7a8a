"""Clients that leave, and others that look at what became of their calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.contract.gateway_here import KEY, Here

BODY = {"model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low"}


def request_bytes(port: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    data = json.dumps(body).encode()
    lines = {
        "host": f"127.0.0.1:{port}",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": str(len(data)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/images/generations HTTP/1.1\r\n{head}\r\n".encode() + data


@asynccontextmanager
async def connected(
    here: Here, headers: Mapping[str, str] | None = None, **fields: Any
) -> AsyncIterator[asyncio.StreamReader]:
    """A client that has sent its call and waits; it leaves at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.port, limit=1024)
    writer.write(request_bytes(here.port, {**BODY, **fields}, headers))
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def until_orphaned(here: Here, count: int = 1, seconds: float = 20.0) -> list[dict[str, Any]]:
    """The rows of calls whose clients have left, once there are so many."""
    return await until_results(here, count, "left_at", seconds)


async def until_results(
    here: Here, count: int = 1, column: str = "ended_at", seconds: float = 20.0
) -> list[dict[str, Any]]:
    """The rows with something in a column, once there are so many."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        rows = [row for row in await here.rows("results", settle=0) if row[column] is not None]
        if len(rows) >= count:
            return rows
        assert loop.time() < until, f"{len(rows)} rows with {column}"
        await asyncio.sleep(0.02)


async def ask(here: Here, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
    return await here.client.post(
        "/v1/images/generations", json={**BODY, **fields}, headers=dict(headers or {})
    )


RETRY = {"x-stainless-retry-count": "1"}
