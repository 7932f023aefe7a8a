"""The stand that every measurement is made on: one gateway process, one fake upstream, one load generator.

Where the machine has two cores the gateway gets the first and everything else the second, so that figures
of the gateway are its own. Figures are only comparable within one run: each command measures the direct call
to the upstream too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import gateway_process
from tests.gateway_process import Gateway
from tests.simulators.process import UpstreamProcess

GATEWAY_CORE, OTHER_CORE = 0, 1
MODEL = "gpt-image-2"
MB = 10**6
MIB = 2**20
PIECE = 256 * 2**10
ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 45.0
STALLS = "stalls.jsonl"


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls go: ``port`` on this machine, and the key that is good there."""

    port: int
    key: str


@dataclass(frozen=True, slots=True)
class Stand:
    gateway: Gateway
    upstream: UpstreamProcess
    stalls: Path

    @property
    def through(self) -> Place:
        return Place(int(self.gateway.base_url.rsplit(":", 1)[1]), self.gateway.key)

    @property
    def direct(self) -> Place:
        return Place(self.upstream.port, self.upstream.key)

    @property
    def pid(self) -> int:
        return self.gateway.process.pid

    @property
    def memory(self) -> Memory:
        return memory(self.pid)

    @property
    def cpu(self) -> float:
        """CPU seconds that the gateway has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def queued(self) -> float:
        """Seconds that the gateway's main thread was ready to run but had no core."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[1]) / 1e9


@contextlib.contextmanager
def stand(*, config: str = "", default: str = "ok bytes=1024", watch: bool = False) -> Iterator[Stand]:
    """``config``: further YAML for the gateway. ``watch``: run it under ``bench._watched``, which writes the
    stalls of its event loop to :attr:`Stand.stalls`."""
    raise_file_limit()
    with (
        tempfile.TemporaryDirectory(prefix="imagegate-bench-") as folder,
        UpstreamProcess(default=default, keep=10, cores=_core(OTHER_CORE)) as upstream,
    ):
        text = f"providers:\n  openai: {{type: openai, base_url: '{upstream.base_url}'}}\n{config}\n"
        # A child runs where its parent did at the time, with all the threads that it starts.
        _pin(GATEWAY_CORE)
        try:
            gateway = _launch(text, Path(folder), upstream.key, watch)
        finally:
            _pin(OTHER_CORE)
        try:
            yield Stand(gateway, upstream, Path(folder) / STALLS)
        finally:
            gateway.stop()


def _launch(text: str, folder: Path, key: str, watch: bool) -> Gateway:
    """``imagegate serve`` on a free port, ready."""
    config, log, data = folder / "gateway.yaml", folder / "gateway.log", folder / "data"
    config.write_text(text + gateway_process.ORGANIZATION)
    env = gateway_process.clean_environment(
        folder, {"OPENAI_API_KEY": key, "IMAGEGATE_BENCH_WATCH": str(folder / STALLS)}
    )
    module = "bench._watched" if watch else "gateway.cli.main"
    command = [sys.executable, "-m", module, "serve", "--config", str(config), "--port", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--data", str(data)], cwd=ROOT, env=env, stdout=out, stderr=out)
    gateway = Gateway("", gateway_process.KEY, process, data, log)
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        found = re.search(r"listening on (http://[\w.:]+)", gateway.log_text())
        if found and gateway_process.answers(found[1]):
            gateway.base_url = found[1]
            return gateway
        time.sleep(0.05)
    gateway.stop()
    sys.exit(f"the gateway did not start:\n{gateway.log_text()[-3000:]}")


def _core(number: int) -> list[int] | None:
    return [number] if (os.cpu_count() or 1) > 1 else None


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (cores := _core(core)):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cores)


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 8192:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192 if hard < 0 else min(8192, hard), hard))


# -- memory


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. ``pss`` shares pages that several processes have in common among them."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    return Memory(fields["Rss"], fields["Pss"])


class Peak:
    """``async with`` it: the highest memory of a process, looked at 20 times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.top = memory(pid)

    async def __aenter__(self) -> Peak:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        while True:
            now = memory(self._pid)
            self.top = Memory(max(self.top.rss, now.rss), max(self.top.pss, now.pss))
            await asyncio.sleep(0.05)

    @property
    def growth(self) -> Memory:
        return Memory(self.top.rss - self.before.rss, self.top.pss - self.before.pss)


# -- calls


def generation(place: Place, prompt: str = "a red kite over dunes", **fields: object) -> bytes:
    """A whole request; a directive for the upstream may stand in the prompt."""
    body = json.dumps({"model": MODEL, "prompt": prompt, "quality": "low", "size": "1024x1024", **fields})
    return _request(place, "generations", "application/json", body.encode())


def edit(place: Place, files: Sequence[bytes], prompt: str = "a red kite over dunes") -> bytes:
    """A whole multipart request with those files."""
    boundary = "bench-5d41402abc4b2a76b9719d911017c592"
    fields: Mapping[str, str] = {
        "model": MODEL,
        "prompt": prompt,
        "quality": "low",
        "size": "1024x1024",
    }
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for number, data in enumerate(files):
        top = f'--{boundary}\r\nContent-Disposition: form-data; name="image[]"; filename="{number}.png"\r\n'
        parts.append(f"{top}Content-Type: image/png\r\n\r\n".encode() + data + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return _request(place, "edits", f"multipart/form-data; boundary={boundary}", b"".join(parts))


def _request(place: Place, operation: str, kind: str, body: bytes) -> bytes:
    return (
        f"POST /v1/images/{operation} HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n"
        f"Authorization: Bearer {place.key}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Failed(Exception):
    """An answer that is no 200, or none at all."""


class Link:
    """A kept-alive connection that asks and reads, and never holds more than a piece of an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, place: Place, *, receive_buffer: int | None = None) -> Link:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", place.port))
        limit = PIECE if receive_buffer is None else receive_buffer
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    async def ask(self, request: bytes) -> int:
        """Send, read the whole answer, return the length of its body. Raises :class:`Failed`."""
        return await self.read(await self.start(request))

    async def start(self, request: bytes) -> int:
        """Send, read the head; the length of the body to come."""
        self._writer.write(request)
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        except (asyncio.IncompleteReadError, OSError) as problem:
            raise Failed(f"no answer: {problem!r}") from problem
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if not head.startswith(b"http/1.1 200 "):
            text = (await self._reader.readexactly(length)).decode(errors="replace")
            raise Failed(f"{head[:12].decode()}: {text[:300]}")
        return length

    async def read(self, length: int, *, piece: int = PIECE, pause: float = 0.0) -> int:
        left = length
        while left:
            data = await self._reader.read(min(piece, left))
            if not data:
                raise Failed(f"cut with {left} of {length} bytes to come")
            left -= len(data)
            if pause:
                await asyncio.sleep(pause)
        return length

    def close(self) -> None:
        self._writer.transport.abort()


def conduct(
    measure: Callable[[Stand], Coroutine[Any, Any, int]],
    *,
    config: str = "",
    default: str = "ok bytes=1024",
    watch: bool = False,
) -> int:
    """Run a measurement on a stand of its own, on uvloop where there is one; its exit status. A failed call
    ends it with status 2 and the end of the gateway's log."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with stand(config=config, default=default, watch=watch) as on:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(measure(on))
        except (Failed, ExceptionGroup) as failed:
            first = failed.exceptions[0] if isinstance(failed, ExceptionGroup) else failed
            print(f"{first!r}\n{on.gateway.log_text()[-2000:]}", file=sys.stderr)
            return 2


# -- figures


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def report(title: str, lines: Mapping[str, str], marks: Sequence[tuple[str, float, float, str]]) -> int:
    """Print figures, then each mark as (what, measured, at most, unit); the exit status."""
    print(title)
    for name, value in lines.items():
        print(f"  {name:<46} {value}")
    missed = 0
    for what, measured, limit, unit in marks:
        good = measured <= limit
        missed += not good
        print(
            f"  {'mark met   ' if good else 'mark MISSED'} {what}: {measured:.2f} {unit} (at most {limit:g})"
        )
    sys.stdout.flush()
    return 1 if missed else 0
