"""A whole gateway in the test's own event loop: real sockets, a real ledger file, any upstream."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from opentelemetry.sdk.trace import SpanProcessor
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from config.loader import Loaded, load
from config.storage import with_data_folder
from gateway.api.connection import Connection
from gateway.app.gateway import Gateway, open_gateway
from gateway.app.reloading import Reloading

KEY = "key of the relay's tests"
_SHA = hashlib.sha256(KEY.encode()).hexdigest()
PROJECT = f'organization: {{projects: [{{name: tests, keys: [{{name: suite, sha256: "{_SHA}"}}]}}]}}'


@dataclass(slots=True)
class Here:
    """``client`` is signed and knows the address; ``rows`` reads the ledger's file. ``reloading`` reads
    ``config``, as ``serve`` does; here it watches nothing by itself."""

    gateway: Gateway
    reloading: Reloading
    config: Path
    client: httpx.AsyncClient
    port: int
    database: Path

    async def rows(self, table: str, settle: float = 10) -> list[dict[str, Any]]:
        """All rows in order of insertion, once everything in flight has been written, or after ``settle``
        seconds."""
        await self.gateway.engine.running.drained(settle)
        engine = create_async_engine(f"sqlite+aiosqlite:///{self.database}")
        try:
            async with engine.connect() as link:
                found = await link.execute(text(f"SELECT * FROM {table} ORDER BY rowid"))
                return [dict(row) for row in found.mappings()]
        finally:
            await engine.dispose()

    async def generate(self, **fields: Any) -> httpx.Response:
        body = {
            "model": "gpt-image-2",
            "prompt": "a red kite",
            "size": "1024x1024",
            "quality": "low",
            **fields,
        }
        return await self.client.post("/v1/images/generations", json=body)


@asynccontextmanager
async def gateway_here(
    config: str,
    folder: Path,
    environ: Sequence[tuple[str, str]] = (),
    spans: SpanProcessor | None = None,
) -> AsyncIterator[Here]:
    file = folder / "gateway.yaml"
    file.write_text(config if "organization:" in config else f"{config}\n{PROJECT}\n")
    loaded = _read(file, folder)
    (folder / "data").mkdir(exist_ok=True)
    async with open_gateway(loaded, spans) as gateway:
        reloading = Reloading(gateway, partial(_read, file, folder), loaded)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                gateway,
                http=Connection,
                ws="none",
                log_config=None,
                limit_concurrency=loaded.settings.server.max_connections,
            )
        )
        server.capture_signals = _no_signals  # type: ignore[method-assign]
        task = asyncio.create_task(server.serve([listener]))
        headers = {"authorization": f"Bearer {KEY}"}
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False
            ) as client:
                yield Here(gateway, reloading, file, client, port, folder / "data" / "imagegate.db")
        finally:
            server.should_exit = True
            await task


def _read(file: Path, folder: Path) -> Loaded:
    loaded = load(file)
    return replace(loaded, settings=with_data_folder(loaded.settings, folder / "data"))


def _no_signals() -> Any:
    from contextlib import nullcontext

    return nullcontext()
