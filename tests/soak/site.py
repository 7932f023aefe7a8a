"""What a run stands on: providers that are fakes, the stores, and replicas that can be started, drained and
killed. All of it ends with the ``with``."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulators.balancer import Balancer
from tests.simulators.process import UpstreamProcess
from tests.soak.replicas import Nursery, Replica, runs
from tests.soak.stores import Postgres, Redis

END_SECONDS = 60.0


@dataclass(slots=True)
class Site:
    """``with`` it, then :meth:`settle`. ``shared``: a Redis and a PostgreSQL; else each replica counts by
    itself and has a SQLite file. ``keep``: calls that each of the ``providers`` remembers. Raises
    :class:`tests.servers.NotObtainable`."""

    folder: Path
    count: int
    shared: bool
    keep: int = 100_000
    providers: int = 1
    upstreams: list[UpstreamProcess] = field(default_factory=list)
    redis: Redis | None = None
    postgres: Postgres | None = None
    nursery: Nursery = field(init=False)
    replicas: list[Replica] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Site:
        with ExitStack() as stack:
            self.upstreams = [
                stack.enter_context(UpstreamProcess(keep=self.keep)) for _ in range(self.providers)
            ]
            if self.shared:
                self.redis = stack.enter_context(Redis(self.folder / "redis"))
                self.postgres = stack.enter_context(Postgres())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        for replica in self.replicas:
            if replica.pid:
                replica.signal(signal.SIGKILL)
        self._stack.close()

    @property
    def storage(self) -> dict[str, str]:
        """``storage:`` of the replicas' configuration."""
        if self.redis is None or self.postgres is None:
            return {"quota": "local"}
        return {"quota": self.redis.url, "database": self.postgres.url}

    @property
    def databases(self) -> list[str]:
        """Where the ledgers are, for SQLAlchemy."""
        if self.postgres is not None:
            return [self.postgres.url]
        return [f"sqlite+aiosqlite:///{replica.data / 'imagegate.db'}" for replica in self.replicas]

    def settle(
        self,
        config: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        *,
        twice: float = 0.0,
        lease: float = 45.0,
    ) -> None:
        """Write the configuration of the replicas, and make ready to start them. Fakes want their keys from
        ``UPSTREAM_KEY``; more comes with ``env``."""
        path = self.folder / "gateway.yaml"
        path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in config.items()))
        known = {"UPSTREAM_KEY": self.upstreams[0].key, **(env or {})}
        self.nursery = self._stack.enter_context(Nursery(path, known, twice, lease))
        self.replicas = [Replica(self.folder / f"replica{number}") for number in range(self.count)]

    async def start(self, replica: Replica, balancer: Balancer) -> None:
        """Returns when it is ready, and the balancer knows where it is."""
        await self.nursery.start(replica)
        balancer.set(replica.folder.name, int(replica.url.rsplit(":", 1)[1]))

    async def stop(self, replica: Replica) -> float:
        """Drain it; returns the seconds from the signal to its end."""
        begun = time.monotonic()
        replica.signal(signal.SIGTERM)
        while runs(replica.pid):
            assert time.monotonic() < begun + END_SECONDS, "it did not end"
            await asyncio.sleep(0.02)
        replica.pid = 0
        return time.monotonic() - begun

    async def restart_in_turn(self, balancer: Balancer) -> list[float]:
        """Each replica, when all others are ready; returns what :meth:`stop` did for each."""
        drains = []
        for replica in self.replicas:
            while balancer.ready < len(self.replicas):
                await asyncio.sleep(0.05)
            drains.append(await self.stop(replica))
            await self.start(replica, balancer)
        return drains

    def logs(self) -> str:
        """Every line that any replica wrote in any of its lives."""
        found = self.folder.glob("replica*/*.log")
        return "".join(log.read_text(errors="replace") for log in sorted(found))
