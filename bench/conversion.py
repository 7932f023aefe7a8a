"""How long an event loop is held up while 4K pictures are converted beside it.

``python -m bench.conversion``. One process does what a gateway does with an answer whose picture is a PNG of
3840 × 2160 and must be WebP or AVIF: from the spooled answer to the last byte of the new document, again and
again by several clients at once. Meanwhile a probe asks the same process a trivial question every 2 ms over
its own connection, first with nothing else to do, then beside each format.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable

from PIL import Image

from bench._stand import MB, Peak, milliseconds, quantile, report
from gateway.engine.conversions import Conversions
from gateway.engine.finishing import Finishing
from gateway.engine.pictures import Order, Pictures
from gateway.engine.whole import Whole, receive_whole
from gateway.images.fitted import Finish
from gateway.media.spool import SpoolRoom
from providers.base import ImageResult

SIZE = (3840, 2160)
PIECE = 256 * 2**10
PAUSE = 0.002
P99_MS = 10.0


def picture() -> bytes:
    """A PNG with soft shapes everywhere, as large as a model's."""
    small = Image.frombytes("RGB", (240, 135), random.Random(1).randbytes(240 * 135 * 3))
    out = io.BytesIO()
    small.resize(SIZE, Image.Resampling.BICUBIC).save(out, "PNG", compress_level=1)
    return out.getvalue()


def answer(data: bytes) -> bytes:
    said = {"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}], "output_format": "png"}
    return json.dumps({**said, "size": f"{SIZE[0]}x{SIZE[1]}"}).encode()


async def received(room: SpoolRoom, body: bytes) -> Whole:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), PIECE):
            yield body[at : at + PIECE]
            await asyncio.sleep(0)

    async def aclose() -> None:
        pass

    return await receive_whole(ImageResult(chunks(), aclose), room, provider="bench", prompt="")


async def convert(finishing: Finishing, room: SpoolRoom, body: bytes, finish: Finish) -> tuple[float, int]:
    """Seconds from the spooled answer to the last byte, and how many bytes there are."""
    whole = await received(room, body)
    began = time.perf_counter()
    finished = await finishing.whole([whole], Order("bench", began + 600, finish, strict=True))
    async for _ in finished.body.chunks():
        await asyncio.sleep(0)
    finished.body.close()
    return time.perf_counter() - began, finished.body.size


async def probed(port: int, seconds: float, work: Callable[[], object] | None = None) -> list[float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench._probe", str(port), str(seconds), str(PAUSE)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return [wait for _, wait in json.loads(out)]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    writer.close()


async def measure(seconds: float, clients: int, memory: int) -> int:
    body = answer(picture())
    room = SpoolRoom(memory, max_answer=512 * 2**20)
    conversions = Conversions()
    finishing = Finishing(Pictures(room, conversions))
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lines = {"the answer": f"{len(body) / MB:.1f} MB, {SIZE[0]}x{SIZE[1]} PNG"}
    waits = {"nothing": await probed(port, min(seconds, 4.0))}
    for finish in (Finish("webp", 80), Finish("avif", 80)):
        took: list[tuple[float, int]] = []
        until = time.monotonic() + seconds + 1

        async def client(
            finish: Finish = finish, until: float = until, took: list[tuple[float, int]] = took
        ) -> None:
            while time.monotonic() < until:
                took.append(await convert(finishing, room, body, finish))

        async with Peak(os.getpid()) as peak:
            working = [asyncio.create_task(client()) for _ in range(clients)]
            await asyncio.sleep(0.5)
            waits[finish.format or ""] = await probed(port, seconds)
            await asyncio.gather(*working)
        each = [value for value, _ in took]
        lines[f"{finish.format}: conversions, p50 of one with {clients} at once"] = (
            f"{len(took)}, {quantile(each, 0.5):.2f} s, {took[0][1] / MB:.1f} MB, "
            f"memory +{peak.growth.rss / MB:.0f} MB"
        )
    for beside, seen in waits.items():
        lines[f"{len(seen)} probes beside {beside}, p50 / p99 / longest"] = " / ".join(
            milliseconds(value) for value in (quantile(seen, 0.5), quantile(seen, 0.99), max(seen))
        )
    server.close()
    conversions.close()
    room.close()
    marks = [
        (f"p99 beside {beside}", quantile(seen, 0.99) * 1000, P99_MS, "ms")
        for beside, seen in waits.items()
        if beside != "nothing"
    ]
    return report("Conversion of 4K pictures beside other work", lines, marks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="for each format")
    parser.add_argument("--clients", type=int, default=4, help="who want a picture converted at once")
    parser.add_argument("--memory", type=int, default=64 * 2**20, help="spool.memory, in bytes")
    asked = parser.parse_args()
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(measure(asked.seconds, asked.clients, asked.memory))


if __name__ == "__main__":
    sys.exit(main())
