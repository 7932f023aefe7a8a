"""Stores that go away and come back, always at the same address: a Redis that is killed, comes back with what
its log kept or comes back empty, or falls silent; a PostgreSQL that is stopped in any of its ways."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from tests import servers

FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
"""PostgreSQL's own words for its shutdowns: it rolls back and writes a checkpoint, or it drops everything and
recovers from its log at the next start."""


class Redis:
    """``with`` it; ``url`` stays the same over all its lives. Raises :class:`tests.servers.NotObtainable`."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if binary is None and servers.REDIS_FROM_PACKAGE.exists():
            binary = str(servers.REDIS_FROM_PACKAGE)
        if binary is None:
            raise servers.NotObtainable("Redis: no redis-server on PATH; scripts/test gets one")
        self._folder = folder
        self.port = servers.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._argv = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._argv += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + servers.START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                if link.recv(16).startswith(b"+PONG"):
                    return
            time.sleep(0.02)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        if self.process is not None:
            servers.stop(self.process, signal.SIGKILL)

    async def crash(self, seconds: float, *, wipe: bool) -> None:
        """Away for so long, then back: with its log, or with nothing."""
        await asyncio.to_thread(self.kill)
        await asyncio.sleep(seconds)
        if wipe:
            shutil.rmtree(self._folder)
        await asyncio.to_thread(self.start)

    async def silent(self, seconds: float) -> None:
        """It takes connections and commands, and answers nothing for so long."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


class Postgres:
    """``with`` it; ``url`` stays the same over all its lives. Raises :class:`tests.servers.NotObtainable`."""

    def __init__(self) -> None:
        self.port = servers.free_port()
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"
        self._argv: list[str] = []
        self._owner: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        # A short folder: PostgreSQL's socket path has a limit of about 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="ig-pg-")
        command, self._owner = servers.postgres_made(Path(self._folder.name))
        self._argv = [*command, "-p", str(self.port)]
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop(FAST)
        self._folder.cleanup()

    def start(self) -> None:
        """Returns when it takes connections; it may still be recovering."""
        self.process = subprocess.Popen(
            self._argv, cwd=self._folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, **self._owner,
        )  # fmt: skip
        until = time.monotonic() + servers.START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            if servers.postgres_answers(self.port):
                return
            time.sleep(0.02)
        raise AssertionError("PostgreSQL did not start")

    def stop(self, how: int) -> None:
        if self.process is not None:
            servers.stop(self.process, how)

    async def restart(self, how: int, seconds: float = 0.0) -> None:
        """Stopped this way, away for so long, then back: returns when it has recovered."""
        await asyncio.to_thread(self.stop, how)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.start)
        async with asyncio.timeout(servers.START_SECONDS):
            while True:
                with suppress(asyncpg.PostgresError):
                    link = await asyncpg.connect(self.url.replace("+asyncpg", ""))
                    return await link.close()
                await asyncio.sleep(0.02)
