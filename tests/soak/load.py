"""Many callers at once, who go on when a replica dies under them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from tests.soak import town
from tests.soak.replicas import Replica

FAULTS_TOLD = 4
"""How many faults before it are told with a limit that was seen exceeded."""


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit that ``GET /v1/usage`` showed above its amount, and what had happened just before."""

    whose: str
    limit: Mapping[str, Any]
    as_of: str
    replica: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        told, rolling = self.limit, "rolling " if self.limit["rolling"] else ""
        numbers = ", ".join(f"{name} {told[name]}" for name in ("used", "held", "unknown", "limit"))
        return (
            f"{self.whose}: {told['scope']} {told['measure']} per {rolling}{told['per']}: {numbers} "
            f"as of {self.as_of} by {self.replica}; before: {'; '.join(self.faults) or 'no fault'}"
        )


@dataclass(slots=True)
class Load:
    """``outcomes`` counts answers by status and code; ``reset`` are calls that nobody answered."""

    replicas: list[Replica]
    dice: random.Random
    slow: float
    per_second: float
    outcomes: Counter[str] = field(default_factory=Counter)
    exceeded: list[Exceeded] = field(default_factory=list)
    """Every look at a limit, while all ran, that saw it above its amount."""
    looks: int = 0
    faults: list[tuple[datetime, str]] = field(default_factory=list)
    """What was done to replicas and stores, in order."""
    ended: bool = False
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def sent(self) -> int:
        return sum(self.outcomes.values())

    def fault(self, words: str) -> None:
        """Something was done to the gateway."""
        self.faults.append((datetime.now(UTC), words))

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
            user, url = self.dice.choice(caller.users), await self._somewhere()
            document = await usage(client, url, caller, user)
            limits = document.get("limits", ())
            self.looks += len(limits)
            for limit in filter(is_exceeded, limits):
                self.exceeded.append(
                    Exceeded(f"{caller.key_id} {user}", limit, document["as_of"], url, self._faults())
                )
            await asyncio.sleep(0.3)

    def _faults(self) -> tuple[str, ...]:
        now = datetime.now(UTC)
        latest = self.faults[-FAULTS_TOLD:]
        return tuple(f"{words} {(now - at).total_seconds():.1f} s ago" for at, words in latest)


async def standing(
    client: httpx.AsyncClient, url: str, caller: town.Caller, user: str
) -> list[dict[str, Any]]:
    """``GET /v1/usage``; empty where nobody answers or the state is not proved."""
    found: list[dict[str, Any]] = (await usage(client, url, caller, user)).get("limits", [])
    return found


def is_exceeded(limit: Mapping[str, Any]) -> bool:
    """Whether a limit of ``GET /v1/usage`` stands above its amount."""
    return sum(Decimal(limit[name]) for name in ("used", "held", "unknown")) > Decimal(limit["limit"])


async def usage(client: httpx.AsyncClient, url: str, caller: town.Caller, user: str) -> Mapping[str, Any]:
    """The whole of ``GET /v1/usage``; empty where nobody answers or the state is not proved."""
    try:
        answer = await client.get(
            f"{url}/v1/usage", params={"end_user": user}, headers={"authorization": f"Bearer {caller.key}"}
        )
    except httpx.HTTPError:
        return {}
    document: Mapping[str, Any] = answer.json() if answer.status_code == 200 else {}
    return document
