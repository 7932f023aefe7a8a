"""The longest stall of the gateway's event loop while large answers and uploads flow.

``python -m bench.stalls``. Clients fetch answers of 28 MB and send edits of 4 × 5 MB without a pause; beside
them a probe asks ``/livez`` every 2 ms over its own connection, first with the gateway idle, then under the
load. Then the same load runs under ``bench._watched``, a heart monitor inside the process, which tells the
loop's own delays from those of a busy machine, and which code was running.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from bench._stand import MB, Link, Stand, conduct, edit, generation, milliseconds, quantile, report
from tests.simulators.pictures import picture

MARK_MS = 20.0
PAUSE = 0.002
SETTLE = 2.0


async def measure(on: Stand, seconds: float, fetchers: int, senders: int, watch: bool) -> int:
    files = [picture("png", 1024, 1024, size=5 * MB, serial=number).data for number in range(4)]
    kinds = [generation(on.through, f"[upstream: ok bytes={28 * MB}]")] * fetchers
    kinds += [edit(on.through, files)] * senders
    idle = await probed(on, min(3.0, seconds), _nothing)
    started = time.monotonic()
    moved: Counter[str] = Counter()

    async def load() -> None:
        async with asyncio.TaskGroup() as group:
            for request in kinds:
                group.create_task(_repeat(on, request, started + seconds + 3.5, moved))

    cpu, queued = on.cpu, on.queued
    busy = await probed(on, seconds, load, settle=SETTLE)
    cpu, took = on.cpu - cpu, time.monotonic() - started
    lines = {
        f"{len(idle)} probes of an idle gateway, p50 / p99 / longest": spread(idle),
        f"{len(busy)} probes under load, p50 / p99 / longest": spread(busy),
        "answers of 28 MB, uploads of 20 MB": f"{moved['down'] / 28 / MB:.0f}, {moved['calls up']:.0f}",
        "moved": f"{moved['down'] / MB / took:.0f} MB/s down, {moved['up'] / MB / took:.0f} MB/s up",
        "gateway CPU per MB moved": milliseconds(cpu / max(1.0, moved.total() / MB)),
    }
    if not watch:
        waited = on.queued - queued
        lines["the gateway's loop waited for its core"] = f"{waited / took:.1%} of the time"
        return report(
            "Event-loop stalls, seen from outside", lines, [("longest", max(busy) * 1000, MARK_MS, "ms")]
        )
    stalls = _stalls(on, started + SETTLE, started + SETTLE + seconds)
    own = max(map(_own, stalls), default=0.0)
    return report(
        "Event-loop stalls, by a heart monitor in the gateway",
        lines | _inside(stalls),
        [("longest of its own", own * 1000, MARK_MS, "ms")],
    )


async def _repeat(on: Stand, request: bytes, until: float, moved: Counter[str]) -> None:
    link = await Link.open(on.through)
    while time.monotonic() < until:
        got = await link.ask(request)
        moved["down"] += got
        if len(request) > MB:
            moved["up"] += len(request)
            moved["calls up"] += 1
    link.close()


async def _nothing() -> None:
    return None


async def probed(
    on: Stand, seconds: float, load: Callable[[], Awaitable[None]], settle: float = 0.0
) -> list[float]:
    """Waits of the probe while ``load`` runs, the first ``settle`` seconds of which do not count."""

    async def probe() -> list[tuple[float, float]]:
        await asyncio.sleep(settle)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench._probe", str(on.through.port), str(seconds), str(PAUSE)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        seen: list[tuple[float, float]] = json.loads(out)
        return seen

    seen, _ = await asyncio.gather(probe(), load())
    return [wait for _, wait in seen]


def spread(waits: list[float]) -> str:
    return " / ".join(
        milliseconds(value) for value in (quantile(waits, 0.5), quantile(waits, 0.99), max(waits))
    )


def _stalls(on: Stand, start: float, end: float) -> list[dict[str, Any]]:
    stalls = [json.loads(line) for line in on.stalls.read_text().splitlines()]
    return [stall for stall in stalls if start <= stall["at"] <= end]


def _own(stall: dict[str, Any]) -> float:
    """The part of a late beat that is not due to other processes on the core, in seconds."""
    return float(stall["late"]) - float(stall["foreign"])


def _inside(stalls: list[dict[str, Any]]) -> dict[str, str]:
    lines = {}
    for floor in (3, 5, 10, 20):
        every, own = (
            sum(value * 1000 > floor for value in values)
            for values in ([stall["late"] for stall in stalls], map(_own, stalls))
        )
        lines[f"beats late by > {floor} ms, in all / of its own"] = f"{every} / {own}"
    lines["longest taken by other processes"] = milliseconds(max((s["foreign"] for s in stalls), default=0.0))
    for stall in sorted(stalls, key=_own, reverse=True)[:8]:
        where = Counter(stall["stacks"]).most_common(1)
        parts = ", ".join(f"{name} {milliseconds(stall[name])}" for name in ("cpu", "threads", "foreign"))
        lines[f"  {milliseconds(stall['late'])}: {parts}"] = where[0][0] if where else "no stack seen"
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--fetchers", type=int, default=4, help="clients that fetch answers of 28 MB")
    parser.add_argument("--senders", type=int, default=2, help="clients that send edits of 4 × 5 MB")
    asked = parser.parse_args()
    status = 0
    for watch in (False, True):

        async def once(on: Stand, watch: bool = watch) -> int:
            return await measure(on, asked.seconds, asked.fetchers, asked.senders, watch)

        status = max(status, conduct(once, watch=watch))
    return status


if __name__ == "__main__":
    sys.exit(main())
