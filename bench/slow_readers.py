"""Memory while 32 answers of 28 MB wait for readers that take their time.

``python -m bench.slow_readers``. All clients ask at once and read slowly through small socket buffers, so
that the upstream is done long before they are. Printed is how much the gateway process grew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from bench._stand import MB, MIB, Failed, Link, Peak, Stand, conduct, generation, report

MARK_MIB = 160.0
RECEIVE_BUFFER = 64 * 2**10


async def measure(on: Stand, answers: int, size: int, seconds: float) -> int:
    await _warm(on)
    request = generation(on.through, f"[upstream: ok bytes={size}]")
    spooled: list[float] = []
    started = time.perf_counter()

    async def slow() -> int:
        link = await Link.open(on.through, receive_buffer=RECEIVE_BUFFER)
        length = await link.start(request)
        spooled.append(time.perf_counter() - started)
        piece = 128 * 2**10
        got = await link.read(length, piece=piece, pause=seconds * piece / length)
        link.close()
        return got

    async with Peak(on.pid) as peak:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(slow()) for _ in range(answers)]
    took = time.perf_counter() - started
    sizes = [task.result() for task in tasks]
    if min(sizes) < size - 8:
        raise Failed(f"an answer had {min(sizes)} of {size} bytes")
    await asyncio.sleep(1.0)
    after = on.memory
    lines = {
        f"{answers} answers of {size / MB:.0f} MB delivered in": f"{took:.1f} s",
        "first byte to the first / last reader": f"{min(spooled):.1f} / {max(spooled):.1f} s",
        "gateway before, RSS / PSS": f"{peak.before.rss / MIB:.0f} / {peak.before.pss / MIB:.0f} MiB",
        "gateway at its peak, RSS / PSS": f"{peak.top.rss / MIB:.0f} / {peak.top.pss / MIB:.0f} MiB",
        "growth, RSS / PSS": f"{peak.growth.rss / MIB:.0f} / {peak.growth.pss / MIB:.0f} MiB",
        "growth per answer": f"{peak.growth.pss / MIB / answers:.2f} MiB",
        "a second after the last one, RSS / PSS": f"{after.rss / MIB:.0f} / {after.pss / MIB:.0f} MiB",
        "upstream calls": str(on.upstream.stats()["most_running"]) + " at once",
    }
    growth = max(peak.growth.rss, peak.growth.pss) / MIB
    return report("Slow readers of large answers", lines, [("growth", growth, MARK_MIB, "MiB")])


async def _warm(on: Stand) -> None:
    """Load what is loaded once: 50 small calls."""
    link = await Link.open(on.through)
    for _ in range(50):
        await link.ask(generation(on.through))
    link.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--size", type=float, default=28.0, help="MB")
    parser.add_argument("--seconds", type=float, default=15.0, help="that each reader takes at least")
    asked = parser.parse_args()
    return conduct(lambda on: measure(on, asked.answers, int(asked.size * MB), asked.seconds))


if __name__ == "__main__":
    sys.exit(main())
