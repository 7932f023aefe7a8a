"""Many callers at once, who go on when a replica dies under them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx

from tests.soak import town
from tests.soak.replicas import Replica

THINK_SECONDS = 0.1


@dataclass(slots=True)
class Load:
    """``outcomes`` counts answers by status and code; ``reset`` are calls that nobody answered."""

    replicas: list[Replica]
    dice: random.Random
    slow: float
    per_second: float
    outcomes: Counter[str] = field(default_factory=Counter)
    over: int = 0
    """How often a limit was seen above its amount while all ran."""
    looks: int = 0
    ended: bool = False
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def sent(self) -> int:
        return sum(self.outcomes.values())

    async def run(self, workers: int) -> None:
        """Until :attr:`ended`."""
        everybody = town.callers()
        async with httpx.AsyncClient(
            timeout=40, trust_env=False, limits=httpx.Limits(max_connections=None)
        ) as client:
            watching = asyncio.create_task(self._watch(client, everybody))
            await asyncio.gather(*(self._worker(client, everybody, workers) for _ in range(workers)))
            await watching

    async def _worker(self, client: httpx.AsyncClient, everybody: list[town.Caller], workers: int) -> None:
        loop = asyncio.get_running_loop()
        while not self.ended:
            begun = loop.time()
            caller = self.dice.choice(everybody)
            await self._call(client, caller)
            pace = workers / self.per_second * self.dice.uniform(0.5, 1.5)
            await asyncio.sleep(max(pace - (loop.time() - begun), 0.01))

    async def _call(self, client: httpx.AsyncClient, caller: town.Caller) -> None:
        url = await self._somewhere()
        number = next(self.numbers)
        body = town.ask(number, self.dice, self.dice.choice(caller.users), self.slow)
        headers = {"authorization": f"Bearer {caller.key}", "x-client-request-id": str(number)}
        try:
            answer = await client.post(f"{url}/v1/images/generations", json=body, headers=headers)
        except httpx.HTTPError:
            self.outcomes["reset"] += 1
            return
        code = "" if answer.status_code == 200 else f" {answer.json()['error']['code']}"
        self.outcomes[f"{answer.status_code}{code}"] += 1

    async def _somewhere(self) -> str:
        while True:
            ready = [replica.url for replica in self.replicas if replica.ready]
            if ready:
                return self.dice.choice(ready)
            await asyncio.sleep(0.02)

    async def _watch(self, client: httpx.AsyncClient, everybody: list[town.Caller]) -> None:
        """No limit may ever be seen above its amount."""
        while not self.ended:
            caller = self.dice.choice(everybody)
            for limit in await standing(
                client, await self._somewhere(), caller, self.dice.choice(caller.users)
            ):
                self.looks += 1
                used = sum(float(limit[name]) for name in ("used", "held", "unknown"))
                self.over += used > float(limit["limit"]) + 1e-12
            await asyncio.sleep(0.3)


async def standing(
    client: httpx.AsyncClient, url: str, caller: town.Caller, user: str
) -> list[dict[str, str]]:
    """``GET /v1/usage``; empty where nobody answers or the state is not proved."""
    try:
        answer = await client.get(
            f"{url}/v1/usage", params={"end_user": user}, headers={"authorization": f"Bearer {caller.key}"}
        )
    except httpx.HTTPError:
        return []
    found: list[dict[str, str]] = answer.json()["limits"] if answer.status_code == 200 else []
    return found
