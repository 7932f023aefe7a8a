"""The common part of fakes that answer JSON (or bytes) to one POST: a real port, a script and a memory.

A fake of one provider says in :meth:`JSONUpstream.answer` what that provider says. What a test plans comes
first, one reply a call; of every reply the framing can be broken::

    async with XAIUpstream() as upstream:
        upstream.plan(upstream.refusal("rate"), Reply(200, b"{}", cut=1))
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from tests.simulators.http1 import ClientGone, Connection, Request, Server, head
from tests.simulators.pictures import picture


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered. ``cut``: only so many bytes of the body, then an orderly end; ``reset``: a TCP reset
    instead of any answer; ``delay`` in seconds."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    delay: float = 0.0


def said(status: int, document: object, **headers: str) -> Reply:
    """A document as JSON; ``retry_after="3"`` is the header ``retry-after``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), {"content-type": "application/json", **named})


@dataclass(slots=True)
class Seen:
    """One request that came whole. ``fields`` are the body's, where it is a JSON object."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    fields: dict[str, object] = field(default_factory=dict)
    status: int = 0
    target: str = ""
    """Path and query as they stood in the request line."""


class JSONUpstream(ABC):
    """``send_buffer`` as in :class:`tests.simulators.http1.Server`."""

    key = "upstream-key-0123456789"

    def __init__(self, *, send_buffer: int | None = None) -> None:
        self.calls: list[Seen] = []
        self._plan: deque[Reply] = deque()
        self._server = Server(self._serve, lambda request, connection: None, send_buffer=send_buffer)
        self._serial = 0

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.stop()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def posts(self) -> list[Seen]:
        """The calls that ask for pictures."""
        return [call for call in self.calls if call.method == "POST"]

    def plan(self, *replies: Reply) -> None:
        """For the next POSTs, one each."""
        self._plan.extend(replies)

    @abstractmethod
    def answer(self, call: Seen) -> Reply:
        """What the provider says to a call. Called once for each."""

    def drawn(self, width: int, height: int, *, format: str = "jpeg", size: int = 0) -> str:
        """A new picture as base64; ``size`` in bytes, at least."""
        self._serial += 1
        return picture(format, width, height, size=size, serial=self._serial).b64.decode()

    async def _serve(self, request: Request, connection: Connection) -> None:
        call = Seen(request.method, request.path, request.query, request.headers, request.body)
        call.target = request.target
        if request.content_type == "application/json":
            try:
                found = json.loads(request.body)
                call.fields = found if isinstance(found, dict) else {}
            except ValueError:
                call.fields = {}
        self.calls.append(call)
        # Judged before the plan, so that a test can see what the provider would have refused.
        reply = self.answer(call)
        if self._plan and call.method == "POST":
            reply = self._plan.popleft()
        call.status = reply.status
        if reply.delay:
            await connection.sleep(reply.delay)
        if reply.reset:
            await connection.reset()
            return
        if reply.cut is not None:
            lies = [*reply.headers.items(), ("Content-Length", str(len(reply.body)))]
            await connection.write(head(reply.status, lies) + reply.body[: reply.cut])
            connection.close()
            return
        try:
            await connection.respond(reply.status, reply.headers.items(), reply.body)
        except ClientGone:
            return


async def eventually(upstream: JSONUpstream, posts: int, seconds: float = 5.0) -> None:
    """Until so many calls for pictures have arrived."""
    async with asyncio.timeout(seconds):
        while len(upstream.posts) < posts:
            await asyncio.sleep(0.01)
