"""Scripts run in the epoch that is in force: which one that is, the ledger says, and a server that says
another is believed in nothing.

All keys but the epoch's own carry its number, so that counters of two epochs never mix and a rebuild writes
beside those in force.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from redis.asyncio import Redis

from gateway.quota import wire
from gateway.quota.connection import BROKEN, OtherServer
from gateway.quota.errors import Rebuilding
from gateway.quota.outcomes import Epoch
from gateway.quota.scripts import Courier

EpochSource = Callable[[], Awaitable[Epoch | None]]
"""What the ledger says is in force; None: nothing was ever built."""

EPOCH_SECONDS = 0.1
"""How long an answer of the epoch source is believed while the counters are cold."""

SWEPT_TOGETHER = 200


class InEpoch:
    """``root`` begins every key of this organization."""

    def __init__(self, link: Redis, source: EpochSource, root: str) -> None:
        self._link = link
        self._source = source
        self._root = root
        self._courier = Courier(link, (OtherServer,))
        self._asked = 0.0
        self.epoch: Epoch | None = None
        """The one that is believed in; None: not known yet."""

    @property
    def run_id(self) -> str | None:
        """Of the server that the counters were built in."""
        return self.epoch.run_id if self.epoch else None

    async def run(self, name: str, build: wire.Build) -> Any:
        """One script in the epoch in force; where the ledger knows a newer one, once more in that. Raises
        :class:`Rebuilding`."""
        return (await self.told(name, build))[1]

    async def told(self, name: str, build: wire.Build) -> tuple[int, Any]:
        """The same, with the number of the epoch that it ran in: :attr:`epoch` may be another by now, and a
        hold must not pass for one of counters that it was not taken from."""
        epoch = await self._known()
        for _ in range(2):
            try:
                answer = await self.at(epoch, name, build)
            except OtherServer:
                answer = [b"cold"]
            if answer[0] != b"cold":
                return epoch.number, answer
            await self._ask()
            if self.epoch is None or self.epoch == epoch:
                break
            epoch = self.epoch
        raise Rebuilding

    async def at(self, epoch: Epoch, name: str, build: wire.Build) -> Any:
        """One script in this epoch, whatever is in force."""
        keys = wire.Keys(self._root, epoch.number)
        payload = msgspec.json.encode(build(keys)).decode()
        return await self._courier.call(name, keys.names, (str(epoch.number), payload))

    async def _known(self) -> Epoch:
        if self.epoch is None:
            await self._ask()
        if self.epoch is None:
            raise Rebuilding
        return self.epoch

    async def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked >= EPOCH_SECONDS:
            self._asked = now
            self.epoch = await self._source()

    async def sweep(self, epoch: Epoch) -> None:
        """Remove what older epochs left. Not urgent: nobody reads it."""
        with suppress(*BROKEN):
            batch: list[bytes] = []
            async for key in self._link.scan_iter(match=_literal(self._root) + "*:*", count=1000):
                number = key.decode()[len(self._root) :].partition(":")[0]
                if number.isdigit() and int(number) < epoch.number:
                    batch.append(key)
                if len(batch) >= SWEPT_TOGETHER:
                    await self._link.unlink(*batch)
                    batch = []
            if batch:
                await self._link.unlink(*batch)

    async def aclose(self) -> None:
        await self._courier.aclose()


def _literal(text: str) -> str:
    """Text for a glob pattern of Redis."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in text)
