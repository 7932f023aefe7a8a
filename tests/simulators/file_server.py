"""A server of files that behaves as badly as servers of strangers do: redirects, drips, lies, never ends."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import NotObtainable

Page = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One request; ``headers`` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    writer: asyncio.StreamWriter

    async def say(self, status: int, headers: Mapping[str, object], body: bytes = b"") -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + body)
        await self.writer.drain()


@dataclass
class FileServer:
    port: int
    scheme: str
    host: str
    pages: dict[str, Page] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    connections: int = 0

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@asynccontextmanager
async def file_server(
    pages: Mapping[str, Page] | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[FileServer]:
    """Serves until the block ends; what is not among ``pages`` is 404. One request a connection."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        here.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            pairs = [line.split(": ", 1) for line in head[1:] if line]
            visit = Visit(method, target, {name.lower(): value for name, value in pairs}, writer)
            here.visits.append(visit)
            await here.pages.get(target, says(b"not here", 404))(visit)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    here = FileServer(server.sockets[0].getsockname()[1], "https" if tls else "http", host, dict(pages or {}))
    try:
        yield here
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def says(body: bytes, status: int = 200, *, kind: str = "image/png", length: int | None = None) -> Page:
    """``length`` and ``kind`` may lie."""

    async def page(visit: Visit) -> None:
        said = len(body) if length is None else length
        await visit.say(status, {"Content-Type": kind, "Content-Length": said}, body)

    return page


def moves(to: str, status: int = 302) -> Page:
    async def page(visit: Visit) -> None:
        await visit.say(status, {"Location": to, "Content-Length": 0})

    return page


def drips(body: bytes, pause: float) -> Page:
    """A byte at a time."""

    async def page(visit: Visit) -> None:
        await visit.say(200, {"Content-Length": len(body)})
        for at in range(len(body)):
            visit.writer.write(body[at : at + 1])
            await visit.writer.drain()
            await asyncio.sleep(pause)

    return page


def never_ends(piece: bytes) -> Page:
    """Without a length, for as long as anybody reads."""

    async def page(visit: Visit) -> None:
        await visit.say(200, {"Connection": "close"})
        while True:
            visit.writer.write(piece)
            await visit.writer.drain()

    return page


def says_nothing() -> Page:
    async def page(visit: Visit) -> None:
        await asyncio.sleep(30)

    return page


def tls_for(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server context for ``DNS:pictures.example`` or ``IP:127.0.0.1``, and the file that vouches for it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=pictures"),
        *("-addext", f"subjectAltName={name}"),
    ]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        raise NotObtainable("guarded fetching over TLS: no openssl on PATH")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
