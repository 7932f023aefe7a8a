"""Notes on targets over Redis, so that N replicas do not each have to meet the same 429.

One sorted set: members are notes, scores are when they end, in milliseconds of the server's clock. A task of
its own writes what was published and reads the whole set every second; nothing here is ever awaited by a
request. While Redis is away a replica knows what it has learnt itself, and what it last heard for ten seconds
more.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.routing.names import TargetName
from gateway.routing.shared import OPEN, Note

EVERY = 1.0
"""Seconds between two readings; a note is sent at once."""

STALE_AFTER = 10.0
"""Seconds after which what was heard counts for nothing."""

MOST_WAITING = 1000
_MOST_NOTES = 10_000
_KEPT_SECONDS = 7200
"""More than any note lasts."""

_SEND_SECONDS = 0.9


class RedisHealth:
    """``link`` is a client with short time-outs (``quota.connection.connect``), which the caller closes.
    ``name`` keeps deployments on one server apart. Use as ``async with``."""

    def __init__(self, link: Redis, name: str = "", *, clock: Callable[[], float] = monotonic) -> None:
        self._link = link
        self._key = f"{{{name or 'imagegate'}}}:targets"
        self._clock = clock
        self._waiting: deque[tuple[str, Note, float]] = deque(maxlen=MOST_WAITING)
        self._something = asyncio.Event()
        self._heard: tuple[float, list[tuple[TargetName, str, str, float]]] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RedisHealth:
        self._task = asyncio.create_task(self._run(), name="shared-health")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def publish(self, note: Note) -> None:
        self._waiting.append(("add", note, self._clock() + note.seconds))
        self._something.set()

    def withdraw(self, target: TargetName) -> None:
        self._waiting.append(("remove", Note(target, OPEN, 0.0), 0.0))
        self._something.set()

    def heard(self) -> Sequence[Note] | None:
        if self._heard is None:
            return None
        at, notes = self._heard
        now = self._clock()
        if now - at > STALE_AFTER:
            self._heard = None
            return None
        return [Note(target, kind, ends - now, cause) for target, kind, cause, ends in notes if ends > now]

    async def _run(self) -> None:
        while True:
            self._something.clear()
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    await self._exchange()
            except (RedisError, OSError, TimeoutError):
                # Notes that could not be sent still hold here, and are sent when the store is back.
                await asyncio.sleep(EVERY)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._something.wait()

    async def _exchange(self) -> None:
        """Send what waits, then read what holds, in one turn each."""
        sent, self._waiting = self._waiting, deque(maxlen=MOST_WAITING)
        try:
            await self._send_and_read(sent)
        except BaseException:
            self._waiting = deque([*sent, *self._waiting], maxlen=MOST_WAITING)
            raise

    async def _send_and_read(self, sent: Iterable[tuple[str, Note, float]]) -> None:
        seconds, microseconds = await self._link.time()
        server = seconds * 1000 + microseconds // 1000
        local = self._clock()
        async with self._link.pipeline(transaction=False) as pipe:
            for what, note, ends in sent:
                member = json.dumps([note.target, note.kind])
                if what == "add" and ends > local:
                    score = server + int((ends - local) * 1000)
                    pipe.zadd(self._key, {member: score}, gt=True)
                    pipe.hset(f"{self._key}:causes", member, note.cause)
                elif what == "remove":
                    pipe.zrem(self._key, member)
            for key in (self._key, f"{self._key}:causes"):
                pipe.expire(key, _KEPT_SECONDS)
            pipe.zremrangebyscore(self._key, "-inf", server)
            pipe.zrangebyscore(self._key, f"({server}", "+inf", start=0, num=_MOST_NOTES, withscores=True)
            pipe.hgetall(f"{self._key}:causes")
            *_, notes, causes = await pipe.execute()
        self._heard = (local, list(_read(notes, causes, lambda score: local + (score - server) / 1000)))


def _read(
    notes: Iterable[tuple[bytes, float]], causes: Mapping[bytes, bytes], ends: Callable[[float], float]
) -> Iterator[tuple[TargetName, str, str, float]]:
    """What is no note of ours is passed over."""
    for member, score in notes:
        with suppress(ValueError, TypeError):
            target, kind = json.loads(member)
            yield (
                TargetName(str(target)),
                str(kind),
                causes.get(member, b"").decode("utf-8", "replace"),
                ends(score),
            )
