"""Replicas that are restarted one after the other under load, behind a balancer, while the official SDK asks:
no caller may notice, and nothing may be paid for twice or lost."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from tests.simulators.balancer import Balancer
from tests.soak import accounts, town
from tests.soak.accounts import Findings
from tests.soak.site import Site


@dataclass(frozen=True, slots=True)
class Plan:
    """``seconds``: how long a picture takes, from and to. ``delay``: the drain's."""

    rounds: int = 1
    replicas: int = 2
    shared: bool = False
    per_second: float = 8.0
    seconds: tuple[float, float] = (0.3, 1.5)
    delay: float = 0.6
    seed: int = 1


@dataclass(slots=True)
class Report:
    plan: Plan
    findings: Findings
    outcomes: Counter[str]
    retries: int
    """Calls that the SDK made again."""
    drains: list[float]
    """Seconds from the signal to the end of each process."""
    turned_away: int
    """Requests that a replica answered with ``draining``."""
    killed: int
    """Calls that a replica broke off."""
    nowhere: int
    seconds: float

    @property
    def clean(self) -> bool:
        return (
            set(self.outcomes) == {"200"}
            and self.findings.clean
            and self.findings.unknown == self.killed == self.nowhere == 0
            and self.findings.settled == self.findings.billed
        )

    def __str__(self) -> str:
        found = self.findings
        lines = [
            f"{self.outcomes.total()} requests in {self.seconds:.0f} s: {dict(self.outcomes)}, "
            f"{self.retries} retries of the SDK, {self.turned_away} of them of a draining replica",
            f"{len(self.drains)} restarts, each {min(self.drains):.1f} to {max(self.drains):.1f} s from the "
            f"signal to the end; {self.killed} calls broken off, {self.nowhere} connections nobody took",
            f"{found.calls} upstream calls, attempts in the ledger: {dict(found.states)}; billed "
            f"${found.billed / accounts.NANO:.4f}, settled ${found.settled / accounts.NANO:.4f}",
            f"lost: {len(found.lost)}, doubled: {len(found.doubled)}, wrong cost: {len(found.wrong)}",
        ]
        for problems in (found.lost, found.doubled, found.wrong):
            lines += [f"  {problem}" for problem in problems[:10]]
        return "\n".join(lines)


@dataclass(slots=True)
class Rolling:
    plan: Plan
    folder: Path
    drains: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    retries: int = 0

    async def run(self) -> Report:
        """Raises :class:`tests.servers.NotObtainable`."""
        plan = self.plan
        with Site(self.folder, plan.replicas, plan.shared) as site:
            site.settle(self._config(site))
            begun = time.monotonic()
            async with Balancer() as balancer:
                for replica in site.replicas:
                    await site.start(replica, balancer)
                await self._under_load(site, balancer)
                for replica in site.replicas:
                    self.drains.append(await site.stop(replica))
                nowhere = balancer.nowhere
            attempts = []
            for url in site.databases:
                attempts += await accounts.rows(url)
            findings = accounts.compare(site.upstreams[0].calls(), attempts)
            logs = site.logs()
        return Report(
            plan, findings, self.outcomes, self.retries, self.drains,
            turned_away=len(re.findall('"error_code": "draining"', logs)),
            killed=len(re.findall('"event": "killed_in_flight"', logs)),
            nowhere=nowhere, seconds=time.monotonic() - begun,
        )  # fmt: skip

    def _config(self, site: Site) -> dict[str, Any]:
        upstream = site.upstreams[0]
        return {
            "server": {"drain": {"delay": f"{self.plan.delay}s"}},
            "providers": {
                "up": {"type": "openai", "base_url": upstream.base_url, "api_key": "env:UPSTREAM_KEY"}
            },
            "models": {"gpt-image-2": {"targets": [{"provider": "up"}]}},
            "storage": site.storage,
            "organization": town.organization(100_000, 100),
        }

    async def _under_load(self, site: Site, balancer: Balancer) -> None:
        ended = asyncio.Event()
        load = asyncio.create_task(self._load(balancer, ended))
        await asyncio.sleep(0.5)
        for _ in range(self.plan.rounds):
            self.drains += await site.restart_in_turn(balancer)
        await asyncio.sleep(0.5)
        ended.set()
        await load

    async def _load(self, balancer: Balancer, ended: asyncio.Event) -> None:
        """So many calls a second, whatever becomes of those before."""
        dice, numbers = random.Random(self.plan.seed), itertools.count(1)
        calls: set[asyncio.Task[None]] = set()
        clients = [
            AsyncOpenAI(base_url=f"{balancer.base_url}/v1", api_key=caller.key)
            for caller in town.callers()
            if caller.project != town.NARROW
        ]
        while not ended.is_set():
            seconds = dice.uniform(*self.plan.seconds)
            calls.add(asyncio.create_task(self._call(dice.choice(clients), next(numbers), seconds)))
            await asyncio.sleep(dice.expovariate(self.plan.per_second))
        await asyncio.gather(*calls)
        for client in clients:
            await client.close()

    async def _call(self, client: AsyncOpenAI, number: int, seconds: float) -> None:
        try:
            answer = await client.images.with_raw_response.generate(
                model="gpt-image-2",
                prompt=f"rolling #{number}# [upstream: ok bytes=20000 delay={seconds:.2f}]",
                size="1024x1024",
                quality="low",
                extra_headers={"x-client-request-id": str(number)},
            )
        except APIStatusError as error:
            self.outcomes[f"{error.status_code} {error.code}"] += 1
        except APIConnectionError as error:
            self.outcomes[type(error.__cause__ or error).__name__] += 1
        else:
            self.outcomes[str(answer.status_code)] += 1
            self.retries += answer.retries_taken
