"""Tiny upstreams on real sockets: each says byte for byte what it answers, and when it breaks off."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from providers.base import ImageRequest, ImageResult, InputFile, Operation, Provider, ProviderError

OK = {"created": 1, "data": [{"b64_json": "aGVsbG8="}], "usage": {"total_tokens": 3}}


@dataclass
class Call:
    """One request as it came over the socket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.headers}

    async def read(self) -> bytes:
        self.body = await self.reader.readexactly(int(self.header("content-length") or 0))
        return self.body

    async def say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        self.writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body)
        await self.writer.drain()

    def reset(self) -> None:
        """A TCP reset instead of a polite end."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Call], Awaitable[None]]


@dataclass
class Upstream:
    port: int
    scheme: str
    calls: list[Call] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@asynccontextmanager
async def upstream(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Serves until the block ends; ``handler`` decides whether the body is read at all."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(task := asyncio.current_task())  # type: ignore[arg-type]
        here.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                pairs = [line.split(": ", 1) for line in head[1:] if line]
                call = Call(reader, writer, method, target, [(k, v) for k, v in pairs])
                here.calls.append(call)
                await handler(call)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)  # type: ignore[arg-type]
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    here = Upstream(server.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield here
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answers(status: int = 200, body: object = OK, headers: Mapping[str, str] | None = None) -> Handler:
    """Reads the request whole, then says this; a ``body`` that is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def handle(call: Call) -> None:
        await call.read()
        await call.say(status, raw, headers)

    return handle


def picture_file(data: bytes, name: str = "a.png", content_type: str = "image/png") -> InputFile:
    return InputFile(name, content_type, len(data), lambda: io.BytesIO(data))


@dataclass
class Counted:
    """A file that knows how many of its handles are open."""

    data: bytes
    opened: int = 0
    open_now: int = 0
    largest_read: int = 0

    def file(self, name: str = "a.png", size: int | None = None) -> InputFile:
        return InputFile(name, "image/png", len(self.data) if size is None else size, self.open)

    def open(self) -> io.BytesIO:
        counted = self
        self.opened += 1
        self.open_now += 1

        class Handle(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                data = super().read(size)
                counted.largest_read = max(counted.largest_read, len(data))
                return data

            def close(self) -> None:
                if not self.closed:
                    counted.open_now -= 1
                super().close()

        return Handle(self.data)


def generation(prompt: str = "a red kite", **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, "gpt-image-2", prompt, params)


async def body_of(result: ImageResult) -> bytes:
    """Read an answer to its end and put it away."""
    try:
        return b"".join([chunk async for chunk in result.body])
    finally:
        await result.aclose()


async def failure(provider: Provider, request: ImageRequest, deadline: float = 5.0) -> ProviderError:
    """The error a call ends with, in the status line or while the body is read."""
    try:
        await body_of(await provider.send(request, deadline))
    except ProviderError as error:
        return error
    raise AssertionError("the call succeeded")


async def eventually(true: Callable[[], bool], seconds: float = 15.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become true in time"
        await asyncio.sleep(0.01)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
