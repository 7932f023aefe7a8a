"""Scripts run in the epoch that is in force: which one that is, the ledger says, and a server that says
another is believed in nothing.

All keys but the epoch's own carry its number, so that counters of two epochs never mix and a rebuild writes
beside those in force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from redis.asyncio import Redis

from gateway.errors import Unavailable
from gateway.quota import wire
from gateway.quota.connection import BROKEN, DEADLINE_SECONDS, OtherServer, renew
from gateway.quota.errors import Rebuilding, StoreAway
from gateway.quota.outcomes import Epoch
from gateway.quota.scripts import Courier

EpochSource = Callable[[], Awaitable[Epoch | None]]
"""What the ledger says is in force; None: nothing was ever built."""

EPOCH_SECONDS = 0.1
"""How long an answer of the epoch source is believed while the counters are cold."""

LOOK_SECONDS = 2.0
"""And while they are warm. A master that was cut off goes on as if nothing had happened while the others have
built another epoch elsewhere; the ledger takes nothing that it admits, and knows where to go on."""

SWEPT_TOGETHER = 200


def tag_of(ledger: str) -> str:
    """The hash tag of the keys of a ledger. A copy's id is that of its original with something after a dot,
    so that a ledger that takes another id while it runs has its counters on the same member of a cluster."""
    return ledger.partition(".")[0]


class InEpoch:
    """Keys are named after the ledger of the epoch, and after ``organization`` where that does not say."""

    def __init__(self, link: Redis, source: EpochSource, organization: str) -> None:
        self._link = link
        self._source = source
        self._organization = organization
        self._courier = Courier(link, (OtherServer,))
        self._asked = 0.0
        self._looking: asyncio.Task[None] | None = None
        self.epoch: Epoch | None = None
        """The one that is believed in; None: not known yet."""

    @property
    def run_id(self) -> str | None:
        """The identity of the server that the counters were built in."""
        return self.epoch.run_id if self.epoch else None

    def root(self, epoch: Epoch | None) -> str:
        """What the keys of an epoch begin with."""
        ledger = (None if epoch is None else epoch.ledger) or self._organization
        tag = tag_of(ledger)
        return f"imagegate:{{{tag}}}{ledger[len(tag) :]}:"

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
                # Older connections may still lead to where the counters were; nobody may believe in those.
                await renew(self._link)
                answer = [b"cold"]
            if answer[0] != b"cold":
                return epoch.number, answer
            await self._ask()
            if self.epoch is None or self.epoch == epoch:
                break
            await self._follow(epoch, self.epoch)
            epoch = self.epoch
        raise Rebuilding

    async def at(self, epoch: Epoch, name: str, build: wire.Build) -> Any:
        """One script in this epoch, whatever is in force."""
        keys = wire.Keys(self.root(epoch), epoch.number)
        payload = msgspec.json.encode(build(keys)).decode()
        return await self._courier.call(name, keys.names, (str(epoch.number), payload))

    async def building(self, epoch: Epoch, name: str, build: wire.Build) -> Any:
        """One script of a rebuild in this epoch. Raises :class:`Rebuilding` where the server has changed
        since the rebuild was begun."""
        try:
            return await self.at(epoch, name, build)
        except OtherServer:
            await renew(self._link)
            raise Rebuilding from None

    async def _known(self) -> Epoch:
        if self.epoch is None:
            await self._ask()
        elif self._looking is None and time.monotonic() - self._asked >= LOOK_SECONDS:
            self._asked = time.monotonic()
            self._looking = asyncio.create_task(self._look(self.epoch), name="epoch")
        if self.epoch is None:
            await self._reach()
            raise Rebuilding
        return self.epoch

    async def _reach(self) -> None:
        """Raises :class:`StoreAway` where no server answers: then nobody is building anything, and whoever is
        told so knows where to look."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._link.ping()
        except OtherServer:
            pass
        except (*BROKEN, TimeoutError) as error:
            raise StoreAway(type(error).__name__) from None

    async def _look(self, believed: Epoch) -> None:
        """Nobody waits for it: the ledger may be slow, or away."""
        try:
            found = await self._source()
            if found is not None and self.epoch == believed and _follows(found, believed):
                self.epoch = found
                await self._follow(believed, found)
        except Unavailable:
            pass  # it was logged where it was raised
        finally:
            self._looking = None

    async def _follow(self, before: Epoch, now: Epoch) -> None:
        if now.run_id != before.run_id:
            await renew(self._link)

    async def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked >= EPOCH_SECONDS:
            self._asked = now
            self.epoch = await self._source()

    async def sweep(self, epoch: Epoch) -> None:
        """Remove what older epochs left. Not urgent: nobody reads it."""
        with suppress(*BROKEN):
            batch: list[bytes] = []
            root = self.root(epoch)
            async for key in self._link.scan_iter(match=_literal(root) + "*:*", count=1000):
                number = key.decode()[len(root) :].partition(":")[0]
                if number.isdigit() and int(number) < epoch.number:
                    batch.append(key)
                if len(batch) >= SWEPT_TOGETHER:
                    await self._link.unlink(*batch)
                    batch = []
            if batch:
                await self._link.unlink(*batch)

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._courier.aclose()


def _follows(found: Epoch, believed: Epoch) -> bool:
    """Newer, or the same of a ledger that has taken another id since: nobody has built those counters yet."""
    return found.number > believed.number or (
        found.number == believed.number and found.ledger != believed.ledger
    )


def _literal(text: str) -> str:
    """Text for a glob pattern of Redis."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in text)
