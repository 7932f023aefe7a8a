"""Real replicas under load while everything that can die does, and then the reckoning (accounts.py).

``shared`` is two or more replicas on a Redis (appendonly, everysec) and a PostgreSQL; otherwise one replica
counts by itself and has a SQLite file. Replicas are killed with SIGKILL or stopped past their lease at random
moments; Redis is killed and comes back with its log, or empty.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak import accounts, quiescence, town
from tests.soak.accounts import Findings
from tests.soak.load import Exceeded, Load
from tests.soak.replicas import Nursery, Replica
from tests.soak.site import Site
from tests.soak.stores import Redis


@dataclass(frozen=True, slots=True)
class Plan:
    requests: int
    kills: int
    redis_kills: int = 0
    stalls: int = 0
    replicas: int = 1
    shared: bool = False
    lease: float = 45.0
    twice: float = 0.2
    workers: int = 24
    per_second: float = 20.0
    slow: float = 1.0
    """What an upstream answer's 0.2 to 1 s are multiplied with."""
    most_seconds: float = 600.0
    seed: int = 1


@dataclass(slots=True)
class Report:
    plan: Plan
    findings: Findings
    outcomes: Counter[str]
    requests: int
    kills: int
    stalls: int
    redis_kills: int
    exceeded: Sequence[Exceeded]
    looks: int
    decay: float | None
    """Seconds from the last request to the moment when nothing was held any more; None: it never came."""
    seconds: float

    @property
    def clean(self) -> bool:
        return self.findings.clean and not self.exceeded and self.decay is not None

    def __str__(self) -> str:
        found = self.findings
        dollars = {name: getattr(found, name) / accounts.NANO for name in ("billed", "settled", "unknown")}
        lines = [
            f"{self.requests} requests in {self.seconds:.0f} s: {dict(self.outcomes.most_common())}",
            f"{self.kills} replicas killed, {self.stalls} stopped past their lease, "
            f"{self.redis_kills} times Redis killed",
            f"{found.calls} upstream calls, {found.attempts} attempts in the ledger: {dict(found.states)}",
            "dollars: " + ", ".join(f"{name} {amount:.4f}" for name, amount in dollars.items()),
            f"overspent: ${found.overspent / accounts.NANO}; "
            f"of {self.looks} looks at a limit {len(self.exceeded)} saw it exceeded",
            f"lost: {len(found.lost)}, doubled: {len(found.doubled)}, wrong cost: {len(found.wrong)}",
            f"still running: {found.running}; held money gone after: "
            + ("never" if self.decay is None else f"{self.decay:.0f} s"),
            f"counters that differ from the ledger: {len(found.unequal)}",
        ]
        for problems in (self.exceeded, found.lost, found.doubled, found.wrong, found.unequal):
            lines += [f"  {problem}" for problem in problems[:10]]
        return "\n".join(lines)


class Soak:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._dice = random.Random(plan.seed)
        self._kills = self._stalls = self._redis_kills = 0
        self._over = False

    async def run(self) -> Report:
        """Raises :class:`tests.servers.NotObtainable`."""
        plan = self._plan
        with Site(self._folder, plan.replicas, plan.shared, keep=plan.requests * 3) as site:
            upstream = site.upstreams[0].base_url
            site.settle(
                town.config(upstream, site.storage, plan.requests, plan.per_second),
                twice=plan.twice,
                lease=plan.lease,
            )
            for replica in site.replicas:
                await site.nursery.start(replica)
            return await self._under_load(site)

    async def _under_load(self, site: Site) -> Report:
        plan, begun = self._plan, time.monotonic()
        replicas = site.replicas
        load = Load(replicas, self._dice, plan.slow, plan.per_second)
        running = asyncio.create_task(load.run(plan.workers))
        trouble = [asyncio.create_task(self._trouble_replicas(site.nursery, load))]
        if site.redis is not None:
            trouble.append(asyncio.create_task(self._trouble_redis(site.redis, load)))
        while time.monotonic() - begun < plan.most_seconds and (
            load.sent < plan.requests or not all(task.done() for task in trouble)
        ):
            if running.done() or any(task.done() and task.exception() for task in trouble):
                break
            await asyncio.sleep(0.1)
        load.ended = True
        # A crash of Redis or a start of a replica that has begun is seen to its end.
        self._over = True
        await asyncio.gather(running, *trouble)
        ended = time.monotonic()
        (url,) = site.databases
        decay = await quiescence.nothing_held(self._somewhere(replicas), url, plan.lease)
        attempts, calls = await accounts.rows(url), await asyncio.to_thread(site.upstreams[0].calls)
        findings = accounts.compare(calls, attempts)
        organization = town.organization(plan.requests, plan.per_second)
        findings.overspent = accounts.overspent(organization, attempts, calls)
        findings.unequal = await quiescence.unequal(self._somewhere(replicas), url)
        return Report(
            plan, findings, load.outcomes, load.sent, self._kills, self._stalls, self._redis_kills,
            load.exceeded, load.looks, None if decay is None else decay - ended, ended - begun,
        )  # fmt: skip

    async def _trouble_replicas(self, nursery: Nursery, load: Load) -> None:
        """As far into the kills as the load is into its requests."""
        plan = self._plan
        while self._kills < plan.kills and not self._over:
            due = plan.kills * load.sent / plan.requests
            up = [replica for replica in load.replicas if replica.ready]
            if self._kills >= due or not up:
                await asyncio.sleep(0.05)
                continue
            replica = self._dice.choice(up)
            if self._stalls < plan.stalls * load.sent / plan.requests and len(up) > 1:
                self._stalls += 1
                asyncio.get_running_loop().create_task(self._stall(replica, load))
                continue
            replica.ready = False
            replica.signal(signal.SIGKILL)
            load.fault(f"{replica.folder.name} killed")
            self._kills += 1
            await asyncio.sleep(self._dice.uniform(0.01, 0.1))
            await nursery.start(replica)

    async def _stall(self, replica: Replica, load: Load) -> None:
        replica.ready = False
        replica.signal(signal.SIGSTOP)
        load.fault(f"{replica.folder.name} stopped")
        await asyncio.sleep(self._plan.lease * 1.3)
        replica.signal(signal.SIGCONT)
        load.fault(f"{replica.folder.name} goes on")
        replica.ready = True

    async def _trouble_redis(self, redis: Redis, load: Load) -> None:
        plan = self._plan
        while self._redis_kills < plan.redis_kills and not self._over:
            if self._redis_kills + 0.5 >= plan.redis_kills * load.sent / plan.requests:
                await asyncio.sleep(0.05)
                continue
            self._redis_kills += 1
            wipe = self._redis_kills % 3 == 0
            load.fault("Redis killed" + (" and wiped" if wipe else ""))
            await redis.crash(self._dice.uniform(0.1, 2.0), wipe=wipe)
            load.fault("Redis back")

    def _somewhere(self, replicas: list[Replica]) -> Callable[[], str]:
        return lambda: self._dice.choice([replica.url for replica in replicas if replica.ready])
