"""The store for many replicas: one Redis (or Valkey), one Lua call per operation.

Keys are ``imagegate:{organization}:…``, so that they share one Cluster slot; all but the epoch carry its
number, so that counters of two epochs never mix and a rebuild writes beside those in force. The server's
clock decides.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.quota import connection, wire
from gateway.quota.connection import OtherServer
from gateway.quota.errors import ClockSkew, HoldLost, Rebuilding, TooManyEndUsers
from gateway.quota.holds import Amounts, DispatchedHold, Hold, Line, State, load_lines
from gateway.quota.local import wall_clock
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
from gateway.quota.plan import Gate, Plan, Tally, bindings, merged, plan, spot, standing, standings, taken
from gateway.quota.scripts import Courier
from gateway.quota.store import MOST_END_USERS, Judge
from gateway.quota.terms import Limit
from gateway.quota.windows import Calendar, from_ms

EpochSource = Callable[[], Awaitable[Epoch | None]]
"""What the ledger says is in force; None: nothing was ever built."""

T = TypeVar("T")

BATCH = 200
BUILDING_MS = 10_000
"""How long one replica has for a rebuild before another may start one."""

EPOCH_SECONDS = 0.1
"""How long an answer of the epoch source is believed while the counters are cold."""


class RedisQuotaStore:
    """:class:`gateway.quota.store.QuotaStore` on Redis."""

    def __init__(
        self,
        link: Redis,
        epoch: EpochSource,
        *,
        organization: str = "default",
        calendar: Calendar | None = None,
        clock: Callable[[], int] = wall_clock,
        most_end_users: int = MOST_END_USERS,
        url: str | None = None,
    ) -> None:
        self.calendar = calendar or Calendar()
        self._most_end_users = most_end_users
        self._link = link
        self._url = url
        self._courier = Courier(link, (OtherServer,))
        self._source = epoch
        self._epoch: Epoch | None = None
        self._asked = 0.0
        self._clock = clock
        self._ahead = 0
        """How far the server's clock is ahead of ours, ms, as last seen."""
        self._root = f"imagegate:{{{organization}}}:"

    @classmethod
    def connect(cls, url: str, epoch: EpochSource, **options: Any) -> RedisQuotaStore:
        """A store on the server at ``url``, which compares its identity with the epoch's. Options as for the
        class itself."""
        store: RedisQuotaStore
        link = connection.connect(url, expected=lambda: store._expected)
        store = cls(link, epoch, url=url, **options)
        return store

    @property
    def skew_ms(self) -> int:
        """How far the server's clock is ahead of ours, as last seen: a gauge for metrics."""
        return self._ahead

    async def start(self) -> None:
        await connection.refuse_eviction(self._link)

    async def aclose(self) -> None:
        await self._courier.aclose()
        await self._link.aclose()

    async def identity(self) -> str | None:
        """The ``run_id`` of the server that answers now, for the ledger to keep beside a new epoch."""
        return None if self._url is None else await connection.run_id(self._url)

    async def reserve(
        self, reservations: Sequence[Reservation], ended: Sequence[End] = ()
    ) -> Admitted | Refused:
        skews = 0
        while True:
            wanted = plan(reservations, self.calendar, self._clock() + self._ahead)
            answer = await self._run(
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
                return self._judged(reservations, wanted, status == b"ok", now, answer)

    async def dispatch(self, hold: Hold) -> DispatchedHold:
        token = secrets.token_hex(8)
        while True:
            answer = await self._run("dispatch", partial(wire.dispatch, hold, token))
            if answer[0] == b"ok":
                return DispatchedHold(hold)
            if answer[0] == b"lost":
                raise HoldLost(hold.rid, _state(answer[1]))
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
            answer = await self._run("heartbeat", partial(wire.heartbeat, hold))
            return bool(answer[0] == b"ok")

        alive = await _all(beat(hold) for hold in holds)
        return [hold.rid for hold, lives in zip(holds, alive, strict=True) if not lives]

    async def reap(self, judge: Judge, batch: int = REAP_BATCH) -> Sequence[Moved]:
        rids = [rid.decode() for rid in (await self._run("open", partial(wire.open_ids, batch)))[2]]
        if not rids:
            return []
        found = await self._records(rids)
        verdicts = await judge(rids)
        ends = []
        for rid, (state, hold) in found.items():
            verdict = verdicts.get(rid)
            if verdict is not None and verdict.state.terminal:
                ends.append(End(hold, verdict.state, verdict.actual))
            elif verdict is None and state is State.HELD:
                ends.append(End(hold, State.RELEASED))
            else:
                ends.append(End(hold, State.UNKNOWN))
        moved = await _all(self._finish(end, "lapsed") for end in ends)
        return [each for each in moved if each.applied]

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        at = from_ms(self._clock() + self._ahead)
        spots = [spot(limit, self.calendar, at) for limit in limits]
        asked = [
            Gate(Line(limit.counter, limit.kind, limit.measure, 0, at.slot, at.param, at.expires), at)
            for limit, at in zip(limits, spots, strict=True)
        ]
        answer = await self._run("standing", partial(wire.standing, asked))
        now, tallies = int(answer[1]), _tallies(answer[2])
        return [
            standing(limit, at, tally, now) for limit, at, tally in zip(limits, spots, tallies, strict=True)
        ]

    async def open_ids(self) -> OpenIds:
        answer = await self._run("open", partial(wire.open_ids, -1))
        return OpenIds(int(answer[1]), tuple(rid.decode() for rid in answer[2]))

    async def find(self, rids: Sequence[str]) -> Mapping[str, Hold]:
        return {rid: hold for rid, (_, hold) in (await self._records(rids)).items()}

    async def adopt(self, open_holds: Sequence[OpenHold]) -> Sequence[str]:
        async def take(each: OpenHold) -> bool:
            return bool((await self._run("restore", partial(wire.restore, "adopt", each)))[0] == b"ok")

        adopted = await _all(take(each) for each in open_holds)
        return [each.hold.rid for each, taken in zip(open_holds, adopted, strict=True) if taken]

    async def raise_to(self, sums: Sums, as_of: int) -> Sequence[Drift]:
        drifts: list[Drift] = []
        for lines in _batches(merged(sums)):
            answer = await self._run("raise", partial(wire.raise_sums, as_of, lines))
            for line, was in zip(lines, answer[1], strict=True):
                if int(was) != line.amount:
                    drifts.append(Drift(line, int(was), raised=int(was) < line.amount))
        return drifts

    async def credit(self, credits: Credits) -> None:
        for lines in _batches(merged(credits.lines)):
            await self._run("credit", partial(wire.credit, credits.version, lines))

    async def claim(self) -> bool:
        name = f"{self._root}building"
        if self._url is None:
            return bool(await self._link.set(name, "1", nx=True, px=BUILDING_MS))
        return await connection.claim(self._url, name, BUILDING_MS)

    async def freeze(self, epoch: Epoch) -> None:
        self._epoch = epoch
        await self._at(epoch, "freeze", wire.nothing)

    async def rebuild(self, epoch: Epoch, sums: Sums, open_holds: Sequence[OpenHold]) -> None:
        self._epoch = epoch
        for lines in _batches(merged(sums)):
            await self._at(epoch, "raise", partial(wire.raise_sums, -1, lines))
        for batch in _batches(open_holds):
            await _all(self._at(epoch, "restore", partial(wire.restore, "build", each)) for each in batch)
        if (await self._at(epoch, "publish", wire.nothing))[0] != b"ok":
            raise Rebuilding
        with suppress(RedisError, OSError):
            await self._link.unlink(
                f"{self._root}building"
            )  # else a second loss soon after waits for its end
        await self._sweep(epoch)

    async def _finish(self, end: End, word: str) -> Moved:
        while True:
            answer = await self._run("finish", partial(wire.finish, word, end))
            if answer[0] != b"other":
                break
            end = replace(end, hold=end.hold.with_lines(load_lines(answer[1])))
        return Moved(end.hold.rid, _state(answer[1]), _state(answer[2]), applied=answer[0] == b"ok")

    def _judged(
        self, reservations: Sequence[Reservation], wanted: Plan, admitted: bool, now: int, answer: Any
    ) -> Admitted | Refused:
        gates, tallies = wanted.gates, _tallies(answer[2])
        for gate, numbers in zip(gates, answer[2], strict=True):
            gate.need = int(numbers[4])
        on_trial = bindings(gates, tallies, now, shadow=True)
        if not admitted:
            refusing = bindings(gates, tallies, now, shadow=False)
            return Refused(refusing, standings(gates, tallies, now), on_trial)
        after = [taken(gate, tally) for gate, tally in zip(gates, tallies, strict=True)]
        number = self._number
        holds = []
        for each, lines, (_, blob, at, lease) in zip(reservations, wanted.lines, answer[3], strict=True):
            if blob:
                holds.append(Hold(each.rid, int(at), int(lease), load_lines(blob), number))
            else:
                holds.append(Hold(each.rid, now, each.lease_ms, lines, number))
        duplicate = any(state for state, *_ in answer[3])
        return Admitted(tuple(holds), standings(gates, after, now), on_trial, duplicate)

    async def _records(self, rids: Sequence[str]) -> Mapping[str, tuple[State, Hold]]:
        found = {}
        for batch in _batches(rids):
            answer = await self._run("find", partial(wire.find, batch))
            for rid, (state, blob, at, lease) in zip(batch, answer[1], strict=True):
                if blob:
                    hold = Hold(rid, int(at), int(lease), load_lines(blob), self._number)
                    found[rid] = (State(state.decode()), hold)
        return found

    @property
    def _number(self) -> int:
        return self._epoch.number if self._epoch else 0

    @property
    def _expected(self) -> str | None:
        return self._epoch.run_id if self._epoch else None

    async def _known(self) -> Epoch:
        if self._epoch is None:
            await self._ask()
        if self._epoch is None:
            raise Rebuilding
        return self._epoch

    async def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked >= EPOCH_SECONDS:
            self._asked = now
            self._epoch = await self._source()

    async def _run(self, name: str, build: wire.Build) -> Any:
        """One script in the epoch in force; where the ledger knows a newer one, once more in that."""
        epoch = await self._known()
        for _ in range(2):
            try:
                answer = await self._at(epoch, name, build)
            except OtherServer:
                answer = [b"cold"]
            if answer[0] != b"cold":
                return answer
            await self._ask()
            if self._epoch is None or self._epoch == epoch:
                break
            epoch = self._epoch
        raise Rebuilding

    async def _at(self, epoch: Epoch, name: str, build: wire.Build) -> Any:
        keys = wire.Keys(self._root, epoch.number)
        payload = json.dumps(build(keys), separators=(",", ":"))
        return await self._courier.call(name, keys.names, (str(epoch.number), payload))

    async def _sweep(self, epoch: Epoch) -> None:
        """Remove what older epochs left. Not urgent: nobody reads it."""
        older = f"{self._root}{epoch.number}:"
        with suppress(RedisError, OSError):
            batch: list[bytes] = []
            async for key in self._link.scan_iter(match=_literal(self._root) + "*:*", count=1000):
                number = key.decode()[len(self._root) :].partition(":")[0]
                if not key.decode().startswith(older) and number.isdigit() and int(number) < epoch.number:
                    batch.append(key)
                if len(batch) >= BATCH:
                    await self._link.unlink(*batch)
                    batch = []
            if batch:
                await self._link.unlink(*batch)


def _state(answer: bytes) -> State | None:
    return State(answer.decode()) if answer else None


def _tallies(rows: Any) -> list[Tally]:
    return [Tally(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in rows]


def _literal(text: str) -> str:
    """Text for a glob pattern of Redis."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in text)


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
