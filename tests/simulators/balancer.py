"""A small load balancer on a real loopback port: it deals out connections, not requests, to those replicas
whose ``/readyz`` says 200, as a Kubernetes Service does with a readiness probe.

::

    async with Balancer(every=0.1) as balancer:
        balancer.set("a", 40001)
        …                                   # point an SDK at balancer.base_url

A connection that a replica refuses is given to the next one: nothing was sent yet. One that breaks is the
client's to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

PIECE = 256 * 2**10
PROBE_SECONDS = 1.0


@dataclass(slots=True)
class _Replica:
    port: int
    ready: bool = False


class Balancer:
    """``async with`` it. ``every``: seconds between two looks at a replica, one look decides."""

    def __init__(self, *, every: float = 0.1) -> None:
        self._every = every
        self._replicas: dict[str, _Replica] = {}
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.nowhere = 0
        """Connections that no replica took."""

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0, limit=PIECE)
        self._tasks.add(asyncio.create_task(self._look()))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def ready(self) -> int:
        """How many replicas are given connections now."""
        return sum(replica.ready for replica in self._replicas.values())

    def set(self, name: str, port: int) -> None:
        """A replica's place and where it listens now; it gets connections once it is ready."""
        self._replicas[name] = _Replica(port)

    async def _look(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(each) for each in self._replicas.values()))
            await asyncio.sleep(self._every)

    async def _probe(self, replica: _Replica) -> None:
        answer = b""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", replica.port)
                try:
                    writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                    answer = await reader.readline()
                finally:
                    writer.close()
        replica.ready = b" 200 " in answer

    def _in_turn(self) -> Iterator[_Replica]:
        ready = [replica for replica in self._replicas.values() if replica.ready]
        self._turn += 1
        for step in range(len(ready)):
            yield ready[(self._turn + step) % len(ready)]

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._through(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _through(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        writers = [to_client]
        try:
            for replica in self._in_turn():
                with suppress(OSError):
                    server, to_server = await asyncio.open_connection("127.0.0.1", replica.port, limit=PIECE)
                    writers.append(to_server)
                    break
            else:
                self.nowhere += 1
                return
            await asyncio.gather(_pumped(client, to_server), _pumped(server, to_client))
        except OSError:
            to_client.transport.abort()
        finally:
            for writer in writers:
                writer.close()


async def _pumped(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Everything, and then the end."""
    while data := await source.read(PIECE):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        with suppress(OSError):
            target.write_eof()
