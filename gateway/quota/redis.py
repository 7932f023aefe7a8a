"""The store for many replicas: one Redis (or Valkey), one Lua call per operation.

Keys are ``imagegate:{LEDGER}:…``, so that they share one slot of a cluster and with it one server
(``finding.py``; ``in_epoch.py`` has the rest of their names). That server's clock decides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import Redis

from gateway.quota import answers, connection, wire
from gateway.quota.clock import wall_clock
from gateway.quota.errors import ClockSkew, HoldLost, Rebuilding, TooManyEndUsers
from gateway.quota.holds import Amounts, DispatchedHold, Hold, State, load_lines
from gateway.quota.in_epoch import EpochSource, InEpoch, tag_of
from gateway.quota.outcomes import (
    REAP_BATCH,
    Admitted,
    Credits,
    Drift,
    End,
    Epoch,
    Moved,
    OpenHold,
    OpenIds,
    Refused,
    Reservation,
    Standing,
    Sums,
)
from gateway.quota.plan import merged, plan, probe, standing
from gateway.quota.store import MOST_END_USERS, Judge
from gateway.quota.terms import Limit
from gateway.quota.windows import Calendar, from_ms

T = TypeVar("T")

ORGANIZATION = "default"
BATCH = 200
BUILDING_MS = 10_000
"""How long after the last word of a replica that builds another one may begin."""


class RedisQuotaStore:
    """:class:`gateway.quota.store.QuotaStore` on Redis."""

    def __init__(
        self,
        link: Redis,
        epoch: EpochSource,
        *,
        organization: str = ORGANIZATION,
        calendar: Calendar | None = None,
        clock: Callable[[], int] = wall_clock,
        most_end_users: int = MOST_END_USERS,
        url: str | None = None,
        now: connection.UrlNow | None = None,
    ) -> None:
        self.calendar = calendar or Calendar()
        self._most_end_users = most_end_users
        self._link = link
        self._url = url
        self._now = now
        self._tag = tag_of(organization)
        self._in = InEpoch(link, epoch, organization)
        self._clock = clock
        self._ahead = 0
        """How far the server's clock is ahead of ours, ms, as last seen."""

    @classmethod
    def connect(cls, url: str, epoch: EpochSource, **options: Any) -> RedisQuotaStore:
        """A store on the server that ``url`` leads to, whose identity is compared with the epoch's. Options
        as for the class itself; ``now`` as of :func:`connection.connect`."""
        store: RedisQuotaStore
        tag = tag_of(options.setdefault("organization", ORGANIZATION))
        now = options.get("now")
        link = connection.connect(url, tag, expected=lambda: store._in.run_id, now=now)
        store = cls(link, epoch, url=url, **options)
        return store

    @property
    def skew_ms(self) -> int:
        """How far the server's clock is ahead of ours, as last seen: a gauge for metrics."""
        return self._ahead

    async def start(self) -> None:
        await connection.refuse_eviction(self._link)

    async def aclose(self) -> None:
        await self._in.aclose()
        await self._link.aclose()

    @property
    def number(self) -> int | None:
        return self._in.epoch.number if self._in.epoch else None

    async def identity(self) -> str | None:
        """Of the server that answers now, for the ledger to keep beside a new epoch. Raises
        :class:`gateway.quota.errors.UnsafeStore` for one that may evict counters: it may be another one than
        that which was there at the start."""
        return None if self._url is None else await connection.identity(self._url, self._tag, self._now)

    async def reserve(
        self, reservations: Sequence[Reservation], ended: Sequence[End] = ()
    ) -> Admitted | Refused:
        skews = 0
        while True:
            wanted = plan(reservations, self.calendar, self._clock() + self._ahead)
            epoch, answer = await self._in.told(
                "reserve", partial(wire.reserve, reservations, wanted, ended, self._most_end_users)
            )
            status, now = answer[0], int(answer[1])
            if status == b"skew":
                skew = now - wanted.at
                self._ahead = now - self._clock()
                skews += 1
                if skews > 1:
                    raise ClockSkew(skew)
            elif status == b"crowded":
                raise TooManyEndUsers(self._most_end_users)
            elif status == b"other":
                await self.end(ended, by_ledger=False)
                ended = ()
            else:
                return answers.judged(reservations, wanted, answer, epoch)

    async def dispatch(self, hold: Hold) -> DispatchedHold:
        token = secrets.token_hex(8)
        while True:
            answer = await self._in.run("dispatch", partial(wire.dispatch, hold, token))
            if answer[0] == b"ok":
                return DispatchedHold(hold)
            if answer[0] == b"lost":
                raise HoldLost(hold.rid, answers.state(answer[1]))
            hold = hold.with_lines(load_lines(answer[1]))

    async def settle(self, hold: Hold, actual: Amounts) -> Moved:
        return await self._finish(End(hold, State.SETTLED, actual), "own")

    async def release(self, hold: Hold) -> Moved:
        return await self._finish(End(hold, State.RELEASED), "own")

    async def unknown(self, hold: Hold) -> Moved:
        return await self._finish(End(hold, State.UNKNOWN), "own")

    async def end(self, ends: Sequence[End], *, by_ledger: bool = True) -> Sequence[Moved]:
        return await _all(self._finish(end, "ledger" if by_ledger else "own") for end in ends)

    async def heartbeat(self, holds: Sequence[Hold]) -> Sequence[str]:
        async def beat(hold: Hold) -> bool:
            answer = await self._in.run("heartbeat", partial(wire.heartbeat, hold))
            return bool(answer[0] == b"ok")

        alive = await _all(beat(hold) for hold in holds)
        return [hold.rid for hold, lives in zip(holds, alive, strict=True) if not lives]

    async def reap(self, judge: Judge, batch: int = REAP_BATCH) -> Sequence[Moved]:
        rids = answers.rids((await self._in.run("open", partial(wire.open_ids, batch)))[2])
        if not rids:
            return []
        found = await self._records(rids)
        verdicts = await judge(rids)
        ends = []
        for rid, (state, hold) in found.items():
            verdict = verdicts.get(rid)
            if verdict is not None and verdict.state.terminal:
                ends.append(verdict.end(hold))
            elif verdict is None and state is State.HELD:
                ends.append(End(hold, State.RELEASED))
            else:
                ends.append(End(hold, State.UNKNOWN))
        moved = await _all(self._finish(end, "lapsed") for end in ends)
        return [each for each in moved if each.applied]

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        at = from_ms(self._clock() + self._ahead)
        gates = [probe(limit, self.calendar, at) for limit in limits]
        answer = await self._in.run("standing", partial(wire.standing, gates))
        now, tallies = int(answer[1]), answers.tallies(answer[2])
        return [
            standing(limit, gate.spot, tally, now)
            for limit, gate, tally in zip(limits, gates, tallies, strict=True)
        ]

    async def open_ids(self) -> OpenIds:
        answer = await self._in.run("open", partial(wire.open_ids, -1))
        return OpenIds(int(answer[1]), tuple(answers.rids(answer[2])))

    async def find(self, rids: Sequence[str]) -> Mapping[str, Hold]:
        return {rid: hold for rid, (_, hold) in (await self._records(rids)).items()}

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        async def take(each: OpenHold) -> bool:
            return bool((await self._in.run("restore", partial(wire.restore, "adopt", each)))[0] == b"ok")

        adopted = await _all(take(each) for each in open_holds)
        return [each.hold.rid for each, taken in zip(open_holds, adopted, strict=True) if taken]

    async def raise_to(self, sums: Sums, as_of: int) -> Sequence[Drift]:
        drifts: list[Drift] = []
        for lines in _batches(merged(sums)):
            answer = await self._in.run("raise", partial(wire.raise_sums, as_of, lines))
            drifts += answers.drifts(lines, answer)
        return drifts

    async def credit(self, credits: Credits) -> None:
        for lines in _batches(merged(credits.lines)):
            await self._in.run("credit", partial(wire.credit, credits.version, lines))

    async def newest(self) -> int | None:
        name, fields = f"{self._in.root(self._in.epoch)}epoch", ("n", "f")
        kept: Sequence[bytes | str | None]
        if self._url is None:
            kept = await self._link.hmget(name, fields)
        else:
            kept = await connection.kept(self._url, name, fields, self._tag, self._now)
        return max((int(number) for number in kept if number), default=None)

    async def claim(self, *, again: bool = False) -> bool:
        name = f"{self._in.root(self._in.epoch)}building"
        if self._url is None:
            return bool(await self._link.set(name, "1", nx=not again, xx=again, px=BUILDING_MS))
        return await connection.claim(self._url, name, BUILDING_MS, self._tag, self._now, again=again)

    async def freeze(self, epoch: Epoch) -> None:
        self._in.epoch = epoch
        # Those of now were compared with the epoch before; where its server still answers, it is another one.
        await connection.renew(self._link)
        await self._in.building(epoch, "freeze", wire.nothing)

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        self._in.epoch = epoch
        for lines in _batches(merged(sums)):
            await self._in.building(epoch, "raise", partial(wire.raise_sums, -1, lines))
        for batch in _batches(open_holds):
            await _all(
                self._in.building(epoch, "restore", partial(wire.restore, "build", each)) for each in batch
            )
        if (await self._in.building(epoch, "publish", wire.nothing))[0] != b"ok":
            raise Rebuilding
        with suppress(*connection.BROKEN):
            # Else a second loss soon after would wait for the claim's end.
            await self._link.unlink(f"{self._in.root(epoch)}building")
        await self._in.sweep(epoch)

    async def _finish(self, end: End, word: str) -> Moved:
        while True:
            answer = await self._in.run("finish", partial(wire.finish, word, end))
            if answer[0] != b"other":
                break
            end = replace(end, hold=end.hold.with_lines(load_lines(answer[1])))
        return answers.moved(end, answer)

    async def _records(self, rids: Sequence[str]) -> Mapping[str, tuple[State, Hold]]:
        found: dict[str, tuple[State, Hold]] = {}
        for batch in _batches(rids):
            epoch, answer = await self._in.told("find", partial(wire.find, batch))
            found |= answers.records(batch, answer, epoch)
        return found


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


async def _all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Together, in one pipeline. The first failure is raised when all have come to their end."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    done: list[T] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        done.append(answer)
    return done
