"""Stores of all kinds for the tests of this room, each with a clock that a test can set, and an epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis

from gateway.quota import connection, scripts
from gateway.quota.holds import Line
from gateway.quota.local import LocalQuotaStore
from gateway.quota.outcomes import Epoch, OpenHold
from gateway.quota.redis import ORGANIZATION, RedisQuotaStore
from gateway.quota.store import SKEW_MS, QuotaStore
from gateway.quota.windows import to_ms

KINDS = ("local", "fakeredis", "redis")
START = to_ms(datetime(2100, 5, 19, 12, 5, tzinfo=UTC))
"""In the middle of a quarter, a month and a week, with 55 minutes of its hour left: no window ends unless a
test lets it. So far ahead, because a server deletes by its own clock what expired in its past."""
CLOCK_KEY = f"test:clock:{{{ORGANIZATION}}}"
"""On the server that has the counters, in a cluster too."""
_TIME = "local time = redis.call('TIME')"
_SET_TIME = f"""local set = redis.call('GET', '{CLOCK_KEY}')
  if set then
    return tonumber(set)
  end
  {_TIME}"""


@dataclass
class World:
    """One store with its surroundings. ``now`` is the clock of store and server, in ms; it stands still."""

    kind: str
    store: QuotaStore
    link: Redis | None = None
    now: int = START
    epoch: Epoch | None = None
    epoch_of: Callable[[], Epoch | None] | None = None
    """Where the store learns the epoch, if not from ``epoch``."""

    async def set_clock(self, now: int) -> None:
        self.now = now
        if self.link is not None:
            await self.link.set(CLOCK_KEY, now)

    async def advance(self, ms: int) -> None:
        await self.set_clock(self.now + ms)

    async def rebuild(self, sums: Sequence[Line] = (), open_holds: Sequence[OpenHold] = ()) -> None:
        """Build a new epoch, and step past the moments in which unseen ends are held to be in the sums."""
        self.epoch = Epoch(self.epoch.number + 1 if self.epoch else 1)
        await self.store.freeze(self.epoch)
        await self.store.rebuild(self.epoch, sums, open_holds)
        await self.advance(SKEW_MS)

    async def lose_everything(self) -> None:
        """As a restart of the process, or a flush of the server."""
        if self.link is None:
            await self.store.aclose()
        else:
            await self.link.flushall()
            await self.set_clock(self.now)


def patch_server_clock(patch: pytest.MonkeyPatch) -> None:
    """Let the scripts read a time that the test sets, where it sets one; TTLs stay real."""
    plain = scripts.script

    def with_clock(name: str) -> scripts.Script:
        found = plain(name)
        text = found.text.replace(_TIME, _SET_TIME)
        assert text != found.text
        return scripts.Script(name, text, scripts.digest(text))

    patch.setattr(scripts, "script", with_clock)


@asynccontextmanager
async def world(kind: str, url: str = "", *, warm: bool = True, **options: Any) -> AsyncIterator[World]:
    made: World

    async def epoch() -> Epoch | None:
        return made.epoch_of() if made.epoch_of else made.epoch

    if kind == "local":
        made = World(kind, LocalQuotaStore(clock=lambda: made.now, **options))
    else:
        link = fakeredis.FakeAsyncRedis() if kind == "fakeredis" else connection.connect(url, ORGANIZATION)
        await link.flushall()
        made = World(kind, RedisQuotaStore(link, epoch, clock=lambda: made.now, **options), link)
    await made.set_clock(made.now)
    if warm:
        await made.rebuild()
    try:
        yield made
    finally:
        await made.store.aclose()
