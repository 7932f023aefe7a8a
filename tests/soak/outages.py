"""One thing after the other goes away under steady load and comes back: replicas, Redis, PostgreSQL, a
provider, both providers. Then what the clients saw, and what the ledger says.

Three replicas behind a balancer that asks them whether they are ready, a Redis, a PostgreSQL, a store for
pictures, and two providers behind one public model, each at the end of a network of its own that can be cut.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import servers
from tests.simulators.balancer import Balancer
from tests.simulators.fault_proxy import FINE, FaultProxy, silence
from tests.simulators.openai_upstream import AZURE_KEY
from tests.soak import accounts, quiescence, town
from tests.soak.bills import book, peaks
from tests.soak.clients import Clients, Manners
from tests.soak.outage_evidence import Evidence, Phase
from tests.soak.outage_report import Report
from tests.soak.reconciled import reconciled
from tests.soak.site import Site
from tests.soak.stores import FAST, IMMEDIATE

FAILS = "error server_error delay=0.2"
"""A complete 500 in the provider's own words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``seconds``: of each phase, at least. ``away``: for how long something is away. ``tail``: how much of a
    phase comes after the return, at least. ``deadline`` and ``open_for`` (seconds) are to pictures of
    ``manners.seconds`` as the defaults are to real ones. ``bucket``: kept answers in an S3 bucket and not in
    a folder. ``only``: the phases whose names hold this."""

    seconds: float = 45.0
    away: float = 20.0
    tail: float = 15.0
    replicas: int = 3
    deadline: float = 20.0
    open_for: float = 3.0
    lease: float = 45.0
    delay: float = 1.0
    per_minute: str = "0.30"
    bucket: bool = True
    only: str = ""
    manners: Manners = field(default_factory=Manners)
    seed: int = 1


@dataclass(slots=True)
class Outages:
    plan: Plan
    folder: Path
    say: Callable[[str], None] = lambda _words: None
    site: Site = field(init=False)
    balancer: Balancer = field(init=False)
    networks: list[FaultProxy] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)

    async def run(self) -> Report:
        """Raises :class:`tests.servers.NotObtainable`."""
        plan, begun = self.plan, time.monotonic()
        with ExitStack() as stack:
            media = self._media(stack)
            self.site = stack.enter_context(Site(self.folder, plan.replicas, shared=True, providers=2))
            async with AsyncExitStack() as networks:
                self.networks = [
                    await networks.enter_async_context(FaultProxy(upstream.port))
                    for upstream in self.site.upstreams
                ]
                (self.folder / "secret").write_text("the secret of all replicas of this run")
                env = {"AZURE_KEY": AZURE_KEY, "S3_KEY": "test"}
                self.site.settle({**self._config(), **media}, env, lease=plan.lease)
                self.balancer = await networks.enter_async_context(Balancer())
                for replica in self.site.replicas:
                    await self.site.start(replica, self.balancer)
                clients = Clients(self.balancer.base_url, plan.manners, plan.seed)
                phases = await self._under_load(clients)
                return await self._reckoned(clients, phases, begun)

    def _media(self, stack: ExitStack) -> Mapping[str, Any]:
        if not self.plan.bucket:
            return {}
        from botocore.session import get_session

        url = stack.enter_context(servers.s3())
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        get_session().create_client("s3", "us-east-1", endpoint_url=url, **keys).create_bucket(Bucket="kept")
        s3 = {"endpoint": url, "access_key_id": "env:S3_KEY", "secret_access_key": "env:S3_KEY"}
        return {"media": {"s3": s3}}

    def _config(self) -> Mapping[str, Any]:
        plan, (first, second) = self.plan, self.networks
        media = "s3://kept/pictures" if plan.bucket else f"file:{self.folder / 'media'}"
        breaker = {
            "open_for": f"{plan.open_for}s",
            "open_at_most": f"{plan.open_for * 4}s",
            "slow_start": "5s",
        }
        return {
            "server": {"drain": {"delay": f"{plan.delay}s"}, "secret": "file:secret"},
            "providers": {
                "openai": {"type": "openai", "base_url": first.base_url, "api_key": "env:UPSTREAM_KEY"},
                "azure": {
                    "type": "azure-openai",
                    "base_url": second.base_url.removesuffix("/v1"),
                    "api_key": "env:AZURE_KEY",
                },
            },
            "models": {
                "gpt-image-2": {
                    "targets": [
                        {"provider": "openai"},
                        {"provider": "azure", "model": "img2-prod", "catalog": "gpt-image-2"},
                    ]
                }
            },
            "routing": {"deadline": f"{plan.deadline}s", "breaker": breaker},
            "storage": {**self.site.storage, "media": media},
            "organization": town.tight(plan.per_minute),
        }

    # -- what happens

    @property
    def _happenings(self) -> Sequence[tuple[str, Callable[[], Awaitable[object]]]]:
        redis, postgres, away = self.site.redis, self.site.postgres, self.plan.away
        assert redis is not None
        assert postgres is not None
        first, second = 0, 1
        return [
            ("quiet", self._nothing),
            ("every replica restarted, in turn", self._rolling),
            ("first provider fails with 500", self._fails),
            ("first provider refuses", lambda: self._cut(first)),
            ("first provider hangs, then answers", self._hangs),
            ("both providers refuse", lambda: self._cut(first, second)),
            ("Redis killed, back empty", lambda: redis.crash(min(1.0, away), wipe=True)),
            ("Redis silent", lambda: redis.silent(away)),
            ("PostgreSQL restarted, immediate", lambda: postgres.restart(IMMEDIATE)),
            ("PostgreSQL restarted, fast", lambda: postgres.restart(FAST)),
            ("PostgreSQL away", lambda: postgres.restart(FAST, away)),
            ("first provider's answers are lost", self._lost),
            ("quiet again", self._nothing),
        ]

    async def _nothing(self) -> None:
        pass

    async def _rolling(self) -> None:
        self.drains += await self.site.restart_in_turn(self.balancer)

    async def _cut(self, *which: int) -> None:
        """Connections are refused, and those that are open break."""
        for number in which:
            await self.networks[number].refuse()
            await self.networks[number].drop()
        await asyncio.sleep(self.plan.away)
        for number in which:
            await self.networks[number].listen()

    async def _hangs(self) -> None:
        self.site.upstreams[0].freeze()
        await asyncio.sleep(self.plan.away)
        self.site.upstreams[0].thaw()

    async def _lost(self) -> None:
        """Calls arrive, are made and billed, and nothing is ever heard of them."""
        self.networks[0].default = silence()
        await asyncio.sleep(self.plan.away)
        self.networks[0].default = FINE

    async def _fails(self) -> None:
        await asyncio.to_thread(self.site.upstreams[0].outage, FAILS)
        await asyncio.sleep(self.plan.away)
        await asyncio.to_thread(self.site.upstreams[0].outage, None)

    # -- how it is seen

    async def _under_load(self, clients: Clients) -> Sequence[Phase]:
        phases = []
        load = asyncio.create_task(clients.run())
        try:
            await asyncio.sleep(1.0)  # connections are made, pictures are on their way
            for name, happens in self._happenings:
                if load.done():
                    break
                if self.plan.only not in name:
                    continue
                self.say(name)
                begun = time.time()
                await happens()
                cured = time.time()
                rest = max(self.plan.seconds - (cured - begun), self.plan.tail)
                await asyncio.wait([load], timeout=rest)
                phases.append(Phase(name, begun, cured, time.time()))
        finally:
            clients.ended = True
            self.say("the load ends")
            await load
        return phases

    async def _reckoned(self, clients: Clients, phases: Sequence[Phase], begun: float) -> Report:
        (url,) = self.site.databases
        dice, ended = random.Random(self.plan.seed), time.monotonic()

        def somewhere() -> str:
            return dice.choice(self.site.replicas).url

        self.say("waiting until nothing is held")
        decay = await quiescence.nothing_held(somewhere, url, self.plan.lease)
        attempts = await accounts.rows(url)
        calls = {
            name: await asyncio.to_thread(upstream.calls)
            for name, upstream in zip(("openai", "azure"), self.site.upstreams, strict=True)
        }
        booked = book(calls, attempts)
        unequal = await quiescence.unequal(somewhere, url)
        after = await reconciled(url, self.folder, attempts, booked, list(calls))
        evidence = Evidence(
            phases=phases,
            calls=clients.calls,
            wire=clients.wire,
            attempts=attempts,
            booked=booked,
            peaks=list(peaks(town.tight(self.plan.per_minute), attempts)),
            exceeded=clients.exceeded,
            looks=clients.looks,
            decay=None if decay is None else decay - ended,
            unequal=unequal,
            after=after,
            drains=self.drains,
            nowhere=self.balancer.nowhere,
            logs=self.site.logs(),
            seconds=time.monotonic() - begun,
        )
        return Report(evidence)
