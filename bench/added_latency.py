"""What the gateway adds to a call of 1 KB: latency at 100 requests a second, and requests a second at most.

``python -m bench.added_latency``. Direct calls to the same upstream and calls through the gateway take
turns, so that what else the machine does meets both. Latency counts from the moment a request was due, so a
stall shows in every request that it delayed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import count

from bench._stand import Link, Place, Stand, conduct, generation, milliseconds, quantile, report

MARK_P50 = 3.0
ROUNDS = 4


async def paced(place: Place, rate: float, seconds: float, links: int = 16) -> list[float]:
    """Latencies, in seconds, of requests that start at a fixed rate whatever the answers do."""
    free: asyncio.Queue[Link] = asyncio.Queue()
    for _ in range(links):
        free.put_nowait(await Link.open(place))
    latencies: list[float] = []

    async def one(due: float, request: bytes) -> None:
        link = await free.get()
        await link.ask(request)
        latencies.append(time.perf_counter() - due)
        free.put_nowait(link)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, _unlike(place, number)))
    while not free.empty():
        free.get_nowait().close()
    return latencies


async def flat_out(place: Place, links: int, seconds: float) -> float:
    """Requests a second with that many connections, each asking again at once."""
    until = time.perf_counter() + seconds
    done = 0
    numbers = count()

    async def one() -> None:
        nonlocal done
        link = await Link.open(place)
        while time.perf_counter() < until:
            await link.ask(_unlike(place, next(numbers)))
            done += 1
        link.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(links):
            group.create_task(one())
    return done / seconds


def _unlike(place: Place, number: int) -> bytes:
    """No two calls that run together ask for the same: the gateway warns of those, as they look repeated."""
    return generation(place, f"a red kite over dune {number:06}")


async def measure(on: Stand, seconds: float, rate: float, links: int) -> int:
    direct: list[float] = []
    through: list[float] = []
    bare: list[float] = []
    gated: list[float] = []
    await flat_out(on.through, links, 1.0)  # warm up
    for _ in range(ROUNDS):
        direct += await paced(on.direct, rate, seconds / ROUNDS)
        through += await paced(on.through, rate, seconds / ROUNDS)
    cpu = 0.0
    for _ in range(2):
        bare.append(await flat_out(on.direct, links, seconds / 4))
        before = on.cpu
        gated.append(await flat_out(on.through, links, seconds / 4))
        cpu += on.cpu - before
    return tell(direct, through, max(bare), max(gated), cpu / (sum(gated) * seconds / 4), rate, links)


def tell(
    direct: Sequence[float],
    through: Sequence[float],
    bare: float,
    gated: float,
    cpu: float,
    rate: float,
    links: int,
) -> int:
    added = {share: quantile(through, share) - quantile(direct, share) for share in (0.5, 0.9, 0.99)}
    lines = {
        f"{len(direct)} direct at {rate:g}/s, p50 / p99": f"{milliseconds(quantile(direct, 0.5))} / "
        f"{milliseconds(quantile(direct, 0.99))}",
        f"{len(through)} through the gateway, p50 / p99": f"{milliseconds(quantile(through, 0.5))} / "
        f"{milliseconds(quantile(through, 0.99))}",
        "added, p50 / p90 / p99": " / ".join(milliseconds(value) for value in added.values()),
        f"requests/s, {links} connections, direct": f"{bare:.0f}",
        f"requests/s, {links} connections, gateway": f"{gated:.0f} ({gated / bare:.2f} of direct)",
        "gateway CPU per request": milliseconds(cpu),
    }
    return report("Added latency, answers of 1 KB", lines, [("added p50", added[0.5] * 1000, MARK_P50, "ms")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of paced load for each side")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--connections", type=int, default=32)
    asked = parser.parse_args()
    return conduct(lambda on: measure(on, asked.seconds, asked.rate, asked.connections))


if __name__ == "__main__":
    sys.exit(main())
