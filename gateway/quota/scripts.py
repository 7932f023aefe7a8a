"""The Lua scripts, and how a tick's calls travel: one pipeline of EVALSHA, loaded where the server forgot,
and sent again where another server has the keys by now.

While a cluster moves the slot to another member, a script finds its keys at neither, and the store is away;
the member that has them all when the move is done is another server, and the counters are rebuilt there.

Plain scripts and not Functions: they work on Redis 6.2, 7 and Valkey without an install step. Every script
may run twice (the client repeats once after a time-out), which is why each is idempotent by attempt id.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AskError, NoScriptError

from gateway.quota.connection import BROKEN, DEADLINE_SECONDS, is_elsewhere, renew
from gateway.quota.errors import StoreAway

LARGEST = 128
"""Scripts in one pipeline; more go into a second one, on another connection."""


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: str
    sha: str


def digest(text: str) -> str:
    """What EVALSHA calls a script."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@cache
def script(name: str) -> Script:
    folder = files("gateway.quota") / "scripts"
    text = (folder / "shared.lua").read_text("utf-8") + (folder / f"{name}.lua").read_text("utf-8")
    return Script(name, text, digest(text))


@dataclass(slots=True)
class _Call:
    script: Script
    arguments: tuple[str | int, ...]
    """Number of keys, keys, arguments."""
    answer: asyncio.Future[Any]


class Courier:
    """Carries script calls of one loop tick together. Raises :class:`StoreAway` for every failure, and lets
    ``strangers`` (exceptions of the connection's own checks) through."""

    def __init__(self, link: Redis, strangers: tuple[type[Exception], ...] = ()) -> None:
        self._link = link
        self._strangers = strangers
        self._waiting: list[_Call] = []
        self._carrying: set[asyncio.Task[None]] = set()

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._leave)
        call = _Call(script(name), (len(keys), *keys, *arguments), loop.create_future())
        self._waiting.append(call)
        return await call.answer

    async def aclose(self) -> None:
        while self._carrying:
            await asyncio.wait(self._carrying)

    def _leave(self) -> None:
        calls, self._waiting = self._waiting, []
        for first in range(0, len(calls), LARGEST):
            task = asyncio.create_task(self._carry(calls[first : first + LARGEST]))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, calls: Sequence[_Call]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                answers = await self._send(calls)
        except self._strangers as error:
            _fail(calls, error)
        except BROKEN as error:
            _fail(calls, StoreAway(type(error).__name__))
        except BaseException as error:
            _fail(calls, StoreAway(type(error).__name__))
            raise
        else:
            for call, answer in zip(calls, answers, strict=True):
                if call.answer.done():
                    continue
                if isinstance(answer, Exception):
                    call.answer.set_exception(StoreAway(f"{call.script.name}: {_words(answer)}"))
                else:
                    call.answer.set_result(answer)

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        answers = await self._evaluate(calls)
        if any(is_elsewhere(answer) for answer in answers):
            await renew(self._link)
            answers = await self._evaluate(calls)
        forgotten = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if forgotten:
            async with self._link.pipeline(transaction=False) as pipe:
                for text in {calls[i].script.text for i in forgotten}:
                    pipe.execute_command("SCRIPT LOAD", text)
                await pipe.execute()
            again = await self._evaluate([calls[i] for i in forgotten])
            for i, answer in zip(forgotten, again, strict=True):
                answers[i] = answer
        return answers

    async def _evaluate(self, calls: Sequence[_Call]) -> list[Any]:
        async with self._link.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command("EVALSHA", call.script.sha, *call.arguments)
            return list(await pipe.execute(raise_on_error=False))


def _words(error: Exception) -> str:
    """Of an answer that is an error; one that says where the keys are says an address."""
    name = type(error).__name__
    return name if isinstance(error, AskError) else f"{name}: {str(error)[:200]}"


def _fail(calls: Sequence[_Call], error: Exception) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_exception(error)
