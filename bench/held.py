"""A thousand requests held at once: how much memory each takes, and whether all are answered.

``python -m bench.held``. The upstream answers each after 15 s. A probe asks ``/livez`` meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from bench._stand import MIB, Failed, Link, Peak, Stand, conduct, generation, report
from bench.stalls import probed, spread

AIM_KIB = 40.0
AT_ONCE = 50


async def measure(on: Stand, held: int, seconds: float) -> int:
    warm = await Link.open(on.through)
    for _ in range(50):
        await warm.ask(generation(on.through))
    warm.close()
    request = generation(on.through, f"[upstream: ok bytes=1024 delay={seconds}]")
    errors: list[str] = []
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        try:
            async with gate:  # so that the listening queue is not what is measured
                link = await Link.open(on.through)
            await link.ask(request)
            link.close()
        except (Failed, OSError) as problem:
            errors.append(repr(problem))

    async def load() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(held):
                group.create_task(one())

    started, cpu = time.perf_counter(), on.cpu
    async with Peak(on.pid) as peak:
        waits = await probed(on, seconds - 2, load)
    took, cpu = time.perf_counter() - started, on.cpu - cpu
    most = on.upstream.stats()["most_running"]
    each = peak.growth.pss / held / 1024
    lines = {
        f"{held} requests, held at once": str(most),
        "errors": f"{len(errors)} {errors[0] if errors else ''}",
        "took": f"{took:.1f} s for an upstream of {seconds:g} s",
        "growth, RSS / PSS": f"{peak.growth.rss / MIB:.1f} / {peak.growth.pss / MIB:.1f} MiB",
        "each": f"{each:.1f} KiB of PSS (aim: {AIM_KIB:g})",
        "gateway CPU per request": f"{cpu / held * 1000:.2f} ms",
        f"{len(waits)} probes meanwhile, p50 / p99 / longest": spread(waits),
    }
    return report("Held requests", lines, [("errors", float(len(errors)), 0.0, "")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    return conduct(lambda on: measure(on, asked.held, asked.seconds))


if __name__ == "__main__":
    sys.exit(main())
