"""A network that misbehaves: a TCP proxy on a real loopback port in front of any fake upstream.

What the upstream itself would never do to its client happens here: the request is made and billed, and the
answer is lost, late, cut, doubled or replaced on its way. In a test::

    async with FaultProxy(upstream.port) as network:
        network.plan(silence(), FINE)
        …                                   # point something at network.base_url

A fault holds for one exchange: for a request and its answer. On a kept connection the next request takes the
next one; where none is planned, :attr:`FaultProxy.default` does.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

PIECE = 64 * 2**10
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """``latency`` seconds pass before the request's first byte goes on, ``lag`` before the answer's. What is
    ``lost`` is taken and goes nowhere. Resets and the half-close come after so many bytes. ``rewrite`` is
    given the whole answer, head and body; ``instead`` takes the answer's place as soon as that comes, or at
    once where the request is lost."""

    latency: float = 0.0
    lag: float = 0.0
    lost: Literal["request", "answer"] | None = None
    reset_request_after: int | None = None
    reset_answer_after: int | None = None
    half_close_after: int | None = None
    drip: tuple[int, float] | None = None
    """(bytes, seconds): the answer goes on in pieces of that size with that pause between."""
    rewrite: Callable[[bytes], bytes] | None = None
    instead: bytes | None = None


FINE = Fault()


def slow(seconds: float) -> Fault:
    """The answer comes so much later."""
    return Fault(lag=seconds)


def black_hole() -> Fault:
    """The request never arrives, and nobody says so."""
    return Fault(lost="request")


def silence() -> Fault:
    """The request arrives; of its answer nothing is ever heard."""
    return Fault(lost="answer")


def reset_request(after: int = 100) -> Fault:
    """A TCP reset while the request is sent."""
    return Fault(reset_request_after=after)


def reset_answer(after: int = 0) -> Fault:
    """A TCP reset after so many bytes of the answer, which was on its way: 0 is before its first."""
    return Fault(reset_answer_after=after)


def half_close(after: int = 0) -> Fault:
    """No more comes after so many bytes, while this end still listens."""
    return Fault(half_close_after=after)


def slow_drip(size: int, pause: float) -> Fault:
    return Fault(drip=(size, pause))


def truncated_json(keep: float = 0.5) -> Fault:
    """A whole HTTP answer, as long as it says, of the first part of the JSON."""
    return Fault(
        rewrite=lambda answer: with_body(answer, body_of(answer)[: int(len(body_of(answer)) * keep)])
    )


def duplicated() -> Fault:
    """The answer comes twice, one after the other, on the same connection."""
    return Fault(rewrite=lambda answer: answer * 2)


def garbage() -> Fault:
    """A TLS alert in clear text: what a server says that was meant to be spoken to in TLS."""
    return Fault(lost="request", instead=b"\x15\x03\x01\x00\x02\x02\x28")


def answered(status: str, body: bytes = b"<html>Bad gateway</html>", kind: str = "text/html") -> Fault:
    """The answer of an intermediary, ``"502 Bad Gateway"``, in place of the upstream's, which was made."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return Fault(instead=head.encode() + body)


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def with_body(answer: bytes, body: bytes) -> bytes:
    head = answer.partition(b"\r\n\r\n")[0]
    length = b"content-length: %d" % len(body)
    return re.sub(rb"(?i)content-length: *\d+", length, head) + b"\r\n\r\n" + body


class FaultProxy:
    """``async with`` it. ``port`` is the upstream's, on this machine."""

    def __init__(self, port: int, *, default: Fault = FINE) -> None:
        self.default = default
        self.connections = 0
        """Taken so far."""
        self.exchanges = 0
        self._upstream = port
        self._plan: deque[Fault] = deque()
        self._passages: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def base_url(self) -> str:
        """Up to and including ``/v1``: the ``base_url`` of an OpenAI provider or SDK."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> FaultProxy:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()
        await self.drop()

    def plan(self, *faults: Fault) -> None:
        """For the next exchanges, one each, after those planned before."""
        self._plan.extend(faults)

    async def refuse(self) -> None:
        """From now on connections are refused; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def drop(self) -> None:
        """Break off every connection that is open."""
        await asyncio.sleep(0)  # one that was just taken has begun, and can be ended
        for passage in list(self._passages):
            passage.cancel()
        await asyncio.gather(*self._passages, return_exceptions=True)

    async def listen(self) -> None:
        """Take connections (again), always on the same port."""
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", self.port, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    def next_fault(self) -> Fault:
        self.exchanges += 1
        return self._plan.popleft() if self._plan else self.default

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        passage = asyncio.create_task(_Passage(self, reader, writer, self._upstream).run())
        self._passages.add(passage)
        passage.add_done_callback(self._passages.discard)


class _Over(Exception):
    """The connection has ended as its fault wanted."""


@dataclass(slots=True)
class _Passage:
    """One connection of the client and the one to the upstream that belongs to it."""

    proxy: FaultProxy
    client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    port: int
    fault: Fault = FINE
    sent: int = 0
    """Bytes of this exchange's request that went on."""
    heard: int = 0
    """Bytes of this exchange's answer that came."""
    passed: int = 0
    """Bytes of it that went on."""
    answer: bytearray = field(default_factory=bytearray)
    """Kept where it is to be rewritten."""

    async def run(self) -> None:
        to_upstream: asyncio.StreamWriter | None = None
        try:
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.port, limit=PIECE)
            await _first_of(self._up(to_upstream), self._down(upstream))
        except (_Over, OSError):
            pass
        finally:
            for writer in (self.to_client, to_upstream):
                if writer is not None:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()

    async def _up(self, upstream: asyncio.StreamWriter) -> None:
        begun = False
        while data := await self.client.read(PIECE):
            if not begun or self.heard:
                begun = True
                self._begin()
                await asyncio.sleep(self.fault.latency)
            fault = self.fault
            if fault.lost == "request":
                if fault.instead is not None and not self.passed:
                    await self._pass(fault.instead)
                continue
            if fault.reset_request_after is not None:
                data = data[: fault.reset_request_after - self.sent]
            upstream.write(data)
            await upstream.drain()
            self.sent += len(data)
            if fault.reset_request_after == self.sent:
                await _reset(self.to_client)
                raise _Over

    def _begin(self) -> None:
        self.fault = self.proxy.next_fault()
        self.sent = self.heard = self.passed = 0
        self.answer.clear()

    async def _down(self, upstream: asyncio.StreamReader) -> None:
        while data := await upstream.read(PIECE):
            first, self.heard = not self.heard, self.heard + len(data)
            fault = self.fault
            if fault.lost == "answer":
                continue
            if first:
                await asyncio.sleep(fault.lag)
            if fault.instead is not None:
                if first:
                    await self._pass(fault.instead)
            elif fault.rewrite is not None:
                self.answer += data
                if _is_whole(self.answer):
                    await self._pass(fault.rewrite(bytes(self.answer)))
            else:
                await self._pass(data)
        if self.fault.lost == "answer":
            await asyncio.Event().wait()  # the upstream has gone, and its client never hears of it

    async def _pass(self, data: bytes) -> None:
        size, pause = self.fault.drip or (len(data), 0.0)
        for start in range(0, len(data), size):
            piece = self._until(data[start : start + size], self.fault.reset_answer_after)
            piece = self._until(piece, self.fault.half_close_after)
            self.to_client.write(piece)
            await self.to_client.drain()
            self.passed += len(piece)
            if self.passed == self.fault.reset_answer_after:
                await _reset(self.to_client)
                raise _Over
            if self.passed == self.fault.half_close_after:
                self.to_client.write_eof()
                await self.client.read()
                raise _Over
            await asyncio.sleep(pause)

    def _until(self, piece: bytes, point: int | None) -> bytes:
        return piece if point is None else piece[: point - self.passed]


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Until one has ended or failed; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_whole(answer: bytes | bytearray) -> bool:
    head, found, body = bytes(answer).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(found) and length is not None and len(body) >= int(length[1])


async def _reset(writer: asyncio.StreamWriter) -> None:
    """End with a TCP reset, once the other machine has every byte written so far: a reset drops what the
    kernel had not sent yet."""
    transport = cast(asyncio.Transport, writer.transport)
    sock = transport.get_extra_info("socket")
    until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]:
        if asyncio.get_running_loop().time() > until:
            break
        await asyncio.sleep(0.001)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
