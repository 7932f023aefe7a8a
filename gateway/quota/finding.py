"""Which server has the counters now: the one that is named, the master that the sentinels name, or the member
of a cluster that has the slot.

All keys of an organisation share one hash tag, so that they are on one server in every form, and a client of
that server is all that the rest needs: no command ever travels through a cluster. Asked is only when a
connection is made, and again when the server that was found turns out to be another's replica, gone, or
without the slot.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Protocol

from redis.crc import key_slot
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError

from config.counters import Host

ASK_SECONDS = 0.25
"""For asking whoever knows, all at once."""

ASK_EVERY = 0.1
"""Seconds from one answer to the next question: an outage must not become a flood."""

MOST_ASKED = 6

Ask = Callable[[Host, Sequence[str]], Awaitable[Any]]
"""Send one command to one server over a connection of its own, and return what it says."""


class NotFound(NoConnection):
    """Nobody who was asked knows a server; the text says why, without addresses."""


class Finder(Protocol):
    async def where(self) -> Host:
        """Raises :class:`NotFound`."""
        ...

    def lost(self, host: Host) -> None:
        """What was found is not, or no longer, the one."""
        ...


class Named:
    """The one that the address names."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def where(self) -> Host:
        return self._host

    def lost(self, host: Host) -> None:
        return None


class _Asking(ABC):
    """Asks several at once, and believes what most of them say."""

    def __init__(self, hosts: Sequence[Host], ask: Ask) -> None:
        self._hosts = tuple(hosts)
        self._ask = ask
        self._known: Host | NotFound = NotFound()
        self._is_lost = True
        self._answered = float("-inf")
        self._turn = asyncio.Lock()

    async def where(self) -> Host:
        begun = monotonic()
        async with self._turn:
            # Whoever waited meanwhile takes the same answer.
            if self._is_lost and self._answered < begun:
                await self._learn()
            if isinstance(self._known, NotFound):
                raise self._known
            return self._known

    async def _learn(self) -> None:
        await asyncio.sleep(max(self._answered + ASK_EVERY - monotonic(), 0))
        try:
            self._known, self._is_lost = await self._find(), False
        except NotFound as nowhere:
            self._known = nowhere
        self._answered = monotonic()

    def lost(self, host: Host) -> None:
        if host == self._known:
            self._is_lost = True

    def _candidates(self) -> Sequence[Host]:
        return self._hosts

    @abstractmethod
    async def _said_by(self, host: Host) -> Host: ...

    async def _find(self) -> Host:
        """As soon as more than half of those asked agree; else what most of those say who answer in time."""
        candidates = list(dict.fromkeys(self._candidates()))
        asked = random.sample(candidates, min(len(candidates), MOST_ASKED))
        votes: Counter[Host] = Counter()
        reason = "no answer in time"
        tasks = [asyncio.create_task(self._said_by(host)) for host in asked]
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for answer in asyncio.as_completed(tasks):
                    try:
                        votes[await answer] += 1
                    except (RedisError, OSError) as error:
                        reason = _why(error)
                    if votes and max(votes.values()) > len(asked) / 2:
                        break
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not votes:
            raise NotFound(reason)
        return votes.most_common(1)[0][0]


class BySentinels(_Asking):
    """``hosts`` are the sentinels, ``service`` the name by which they know the master."""

    def __init__(self, hosts: Sequence[Host], service: str, ask: Ask) -> None:
        super().__init__(hosts, ask)
        self._service = service

    async def _said_by(self, host: Host) -> Host:
        said = await self._ask(host, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service))
        if said is None:
            raise NotFound("the sentinels know no service of this name")
        name, port = said
        return _text(name), int(port)


class ByCluster(_Asking):
    """``hosts`` are members of the cluster, ``tag`` the hash tag of all keys. What members say of the others
    is kept, so that those who were named may go."""

    def __init__(self, hosts: Sequence[Host], tag: str, ask: Ask) -> None:
        super().__init__(hosts, ask)
        self._slot = int(key_slot(f"{{{tag}}}".encode()))
        self._members: Sequence[Host] = ()

    def _candidates(self) -> Sequence[Host]:
        return (*self._hosts, *self._members)

    async def _said_by(self, host: Host) -> Host:
        rows = await self._ask(host, ("CLUSTER", "SLOTS"))
        # An empty name: the one that was asked.
        members = [[(_text(name) or host[0], int(port)) for name, port, *_ in row[2:]] for row in rows]
        self._members = list(dict.fromkeys(member for each in members for member in each))
        for (first, last, *_), (master, *_) in zip(rows, members, strict=True):
            if first <= self._slot <= last:
                return master
        raise NotFound("no member of the cluster has the slot")


def _why(error: Exception) -> str:
    if isinstance(error, NotFound | ResponseError):
        return f"{type(error).__name__}: {str(error)[:200]}"
    return type(error).__name__


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""
