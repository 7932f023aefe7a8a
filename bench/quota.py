"""How long an admission takes: reserve, dispatch and settle at 1 and 10 limits in both stores, pairs per
second, the answer time with a silent Redis, and a rebuild.

    python -m bench.quota [--redis redis://127.0.0.1:6379/15] [--calls 3000]

Without ``--redis`` it starts a Redis of its own, where there is a binary. The database given is emptied.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from time import perf_counter

from gateway.quota import connection
from gateway.quota.clock import wall_clock
from gateway.quota.errors import StoreAway
from gateway.quota.holds import Hold, State
from gateway.quota.local import LocalQuotaStore
from gateway.quota.outcomes import LEASE_MS, Admitted, Epoch, OpenHold, Reservation
from gateway.quota.plan import line
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.store import QuotaStore
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms

PLENTY = 9_000_000_000_000_000
IN_FLIGHT = 64


def limits(number: int) -> list[Limit]:
    """One limit, or ten of all kinds on four levels."""
    org, project, key, user = (
        Scope.organization(),
        Scope.project("growth"),
        Scope.key("growth", "ci"),
        Scope.end_user("growth", "ci", "someone"),
    )
    every = [
        Limit(key, Measure.SPEND, PLENTY, "month"),
        Limit(org, Measure.SPEND, PLENTY, "month"),
        Limit(org, Measure.SPEND, PLENTY, "day"),
        Limit(project, Measure.SPEND, PLENTY, "month"),
        Limit(project, Measure.SPEND, PLENTY, "total"),
        Limit(user, Measure.SPEND, PLENTY, "day"),
        Limit(org, Measure.IMAGES, 10**10, "minute"),
        Limit(project, Measure.REQUESTS, 10**10, "minute"),
        Limit(key, Measure.IMAGES, PLENTY, "day"),
        Limit(project, Measure.CONCURRENT, PLENTY),
    ]
    return every[:number]


def wish(rid: str, under: Sequence[Limit]) -> Reservation:
    return Reservation(rid, {Measure.SPEND: 210_800_000, Measure.IMAGES: 1, Measure.REQUESTS: 1}, under)


async def one_by_one(store: QuotaStore, under: Sequence[Limit], calls: int, name: str) -> str:
    """Latencies of single calls."""
    times: dict[str, list[float]] = {"reserve": [], "dispatch": [], "settle": []}

    async def timed(step: str, call: Awaitable[object]) -> object:
        begun = perf_counter()
        answer = await call
        times[step].append(perf_counter() - begun)
        return answer

    for n in range(calls):
        outcome = await timed("reserve", store.reserve([wish(f"{name}-{n}/1", under)]))
        assert isinstance(outcome, Admitted)
        await timed("dispatch", store.dispatch(outcome.holds[0]))
        await timed("settle", store.settle(outcome.holds[0], {Measure.SPEND: 200_000_000}))
    cells = []
    for step in times.values():
        ordered = sorted(step[len(step) // 10 :])
        half, high = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        cells.append(f"{half * 1e6:.0f} / {high * 1e6:.0f}")
    return " | ".join(cells)


async def together(store: QuotaStore, under: Sequence[Limit], calls: int, name: str) -> float:
    """Reserve and settle (with the dispatch between them) per second, IN_FLIGHT at once."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for n in numbers:
            outcome = await store.reserve([wish(f"{name}-t{n}/1", under)])
            assert isinstance(outcome, Admitted)
            await store.dispatch(outcome.holds[0])
            await store.settle(outcome.holds[0], {Measure.SPEND: 200_000_000})

    begun = perf_counter()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return calls / (perf_counter() - begun)


async def rebuild(store: QuotaStore, epoch: Epoch, rows: int) -> float:
    """Seconds to take in this many open attempts of ten limits: what is settled comes as sums."""
    at = wall_clock()
    lines = tuple(line(limit, 1, Calendar(), from_ms(at)) for limit in limits(10))
    holds = [OpenHold(Hold(f"open-{n}/1", at, LEASE_MS, lines), State.DISPATCHED) for n in range(rows)]
    begun = perf_counter()
    await store.freeze(epoch)
    await store.rebuild(epoch, lines, holds)
    return perf_counter() - begun


async def silent_redis() -> float:
    """Seconds until a Redis that accepts and never answers is given up."""
    hole = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)

    async def epoch() -> Epoch:
        return Epoch(1)

    store = RedisQuotaStore.connect(f"redis://127.0.0.1:{hole.sockets[0].getsockname()[1]}/0", epoch)
    begun = perf_counter()
    try:
        await store.reserve([wish("silent/1", limits(1))])
    except StoreAway:
        return perf_counter() - begun
    finally:
        hole.close()
        await store.aclose()
    raise AssertionError("a silent server answered")


async def measure(name: str, store: QuotaStore, calls: int) -> None:
    for number in (1, 10):
        cells = await one_by_one(store, limits(number), calls, f"{name}{number}")
        rate = await together(store, limits(number), calls, f"{name}{number}")
        print(f"| {name} | {number} | {cells} | {rate:,.0f} |")


async def run(url: str | None, calls: int) -> None:
    epoch = Epoch(1)

    async def known() -> Epoch:
        return epoch

    local = LocalQuotaStore()
    await local.rebuild(epoch, [], [])
    stores: list[tuple[str, Callable[[], QuotaStore]]] = [("local", lambda: local)]
    if url is not None:
        link = connection.connect(url)
        await link.flushdb()
        await link.aclose()
        shared = RedisQuotaStore.connect(url, known)
        await shared.rebuild(epoch, [], [])
        stores.append(("redis", lambda: shared))
    print("| store | limits | reserve p50/p99 µs | dispatch µs | settle µs | pairs/s |")
    print("|---|---|---|---|---|---|")
    for name, store in stores:
        await measure(name, store(), calls)
    epoch = Epoch(2)
    for name, store in stores:
        print(f"rebuild of 10,000 open attempts under 10 limits, {name}: ", end="")
        print(f"{await rebuild(store(), epoch, 10_000):.2f} s")
        await store().aclose()
    print(f"a silent Redis is given up after {await silent_redis():.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--redis", help="URL of a Redis whose database may be emptied")
    parser.add_argument("--calls", type=int, default=3000)
    options = parser.parse_args()
    with ExitStack() as stack:
        url = options.redis
        if url is None:
            from tests import servers

            try:
                url = stack.enter_context(servers.redis())
            except servers.NotObtainable as missing:
                print(f"without Redis: {missing}", file=sys.stderr)
        asyncio.run(run(url, options.calls))


if __name__ == "__main__":
    main()
