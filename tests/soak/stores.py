"""A Redis that is killed, comes back with what its log kept, or comes back empty."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests import servers


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
