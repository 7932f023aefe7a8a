"""A small HTTP/1.1 server for fakes: exact framing, and every way of breaking it.

A real server library protects its user from sending half a body, a lying length or a TCP reset. A fake
upstream needs just those, so this one speaks the protocol itself: keep-alive, ``Content-Length`` and chunked
request bodies, ``Expect: 100-continue``, and on the way out whatever the caller writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_HEAD = 64 * 2**10
PIECE = 256 * 2**10


@dataclass(slots=True)
class Request:
    """One request. ``headers`` have lower-case names; ``body`` is whole and free of transfer coding."""

    method: str
    target: str
    headers: dict[str, str]
    header_list: list[tuple[str, str]]
    body: bytes = b""
    chunked: bool = False
    path: str = field(init=False)
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class BadRequest(Exception):
    """What arrived is not HTTP/1.1."""


class ClientGone(Exception):
    """The client closed or reset the connection."""


def parse_head(head: bytes) -> Request:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(f"request line {lines[0]!r}")
    pairs = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(f"header line {line!r}")
        pairs.append((name.lower(), value.strip()))
    headers = dict(pairs)
    request = Request(words[0], words[1], headers, pairs)
    lengths = {value for name, value in pairs if name == "content-length"}
    request.chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    if len(lengths) > 1 or (lengths and request.chunked) or not all(v.isdigit() for v in lengths):
        raise BadRequest("ambiguous body length")
    if "host" not in headers:
        raise BadRequest("no Host header")
    return request


class Connection(asyncio.Protocol):
    """One client's connection; requests are served one after another in the order they came.

    ``serve(request, connection)`` answers a whole request. ``at_head(request, connection)`` is asked as soon
    as the head is in; where it returns an awaitable, that is the answer and the body is never read.
    """

    def __init__(
        self,
        serve: Callable[[Request, Connection], Awaitable[None]],
        at_head: Callable[[Request, Connection], Awaitable[None] | None],
        connections: set[Connection],
    ) -> None:
        self._serve = serve
        self._at_head = at_head
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._request: Request | None = None
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._discard = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._left: asyncio.Future[None] = self._loop.create_future()
        self.transport: asyncio.Transport
        self.keep_alive = True

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes
        # With a limit of 0, "writable" means that the kernel took every byte: the call records need that.
        self.transport.set_write_buffer_limits(high=0)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._discard:
            return
        self._buffer += data
        if self._task is None:
            self._advance()
        elif len(self._buffer) > MAX_HEAD:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- reading

    def _leave(self) -> None:
        if not self._left.done():
            self._left.set_result(None)
        self._writable.set()

    def _advance(self) -> None:
        """Take the next whole request out of the buffer, if there is one, and start to serve it."""
        try:
            if self._request is None and not self._read_head():
                return
            request = self._request
            if request is None or not self._read_body(request):
                return
        except BadRequest as problem:
            self._discard = True
            self._start(self._refuse(str(problem)))
            return
        request.body = bytes(self._body)
        self._body = bytearray()
        self._request = None
        self.keep_alive = request.headers.get("connection", "").lower() != "close"
        self._start(self._serve(request, self))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest("head too large")
            return False
        request = self._request = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        answer = self._at_head(request, self)
        if answer is not None:
            self._request, self._discard, self.keep_alive = None, True, False
            self._buffer.clear()
            self._start(answer)
            return False
        if request.headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_body(self, request: Request) -> bool:
        if request.chunked:
            return self._read_chunks()
        length = int(request.headers.get("content-length", 0))
        if len(self._buffer) < length:
            return False
        if length:
            self._body = self._buffer[:length]
            del self._buffer[:length]
        return True

    def _read_chunks(self) -> bool:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            try:
                size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
            except ValueError as problem:
                raise BadRequest("chunk size") from problem
            if size == 0:  # no client here sends trailers
                if len(self._buffer) < end + 4:
                    return False
                del self._buffer[: end + 4]
                return True
            if len(self._buffer) < end + 2 + size + 2:
                return False
            self._body += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
        return False

    def _start(self, answer: Awaitable[None]) -> None:
        self._task = self._loop.create_task(self._run(answer))

    async def _run(self, answer: Awaitable[None]) -> None:
        with contextlib.suppress(ClientGone):
            await answer
        self._task = None
        if not self.keep_alive:
            self.close()
        elif not self._left.done():
            self.transport.resume_reading()
            self._advance()

    async def _refuse(self, problem: str) -> None:
        self.keep_alive = False
        await self.respond(400, [("Content-Type", "text/plain")], f"not HTTP/1.1: {problem}".encode())

    # -- writing

    @property
    def gone(self) -> bool:
        return self._left.done()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the client's leaving: that raises :class:`ClientGone`."""
        if seconds > 0:
            await asyncio.wait([self._left], timeout=seconds)
        if self.gone:
            raise ClientGone

    async def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the kernel, all of them, at the pace of the reader."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            if self.gone:
                raise ClientGone
            self.transport.write(view[start : start + PIECE])
            if not self._writable.is_set():
                await self._writable.wait()
        if self.gone:
            raise ClientGone

    async def respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """A whole answer with an honest ``Content-Length``."""
        closing = [] if self.keep_alive else [("Connection", "close")]
        await self.write(head(status, [*headers, ("Content-Length", str(len(body))), *closing]) + body)

    def close(self) -> None:
        """An orderly end (FIN), after what was written."""
        self.keep_alive = False
        self.transport.close()

    async def reset(self) -> None:
        """End with a TCP reset, once the client's machine has every byte written so far.

        The reset drops what the kernel had not sent yet, so without the wait the client would see an
        accidental number of bytes."""
        self.keep_alive = False
        sock = self.transport.get_extra_info("socket")
        fd = sock.fileno()
        for _ in range(1000):
            unsent = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4))[0]
            if not unsent or self.gone:
                break
            await asyncio.sleep(0.001)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def abandon(self) -> None:
        """End this connection with the server: stop serving and drop it."""
        self.keep_alive = False
        task = self._task
        self.transport.abort()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Status line and headers, with the blank line that ends them."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of chunked transfer coding; ``chunk(b"")`` is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Server:
    """A listening port; ``async with`` it."""

    def __init__(
        self,
        serve: Callable[[Request, Connection], Awaitable[None]],
        at_head: Callable[[Request, Connection], Awaitable[None] | None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        send_buffer: int | None = None,
    ) -> None:
        self._serve, self._at_head = serve, at_head
        self._host, self.port = host, port
        self._send_buffer = send_buffer
        self.connections: set[Connection] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if (
            self._send_buffer is not None
        ):  # inherited by accepted sockets: bounds what a reader can leave unread
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        sock.bind((self._host, self.port))
        self.port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._serve, self._at_head, self.connections), sock=sock, backlog=4096
        )

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self.connections):
            await connection.abandon()
