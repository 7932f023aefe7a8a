"""Clients through a balancer, as an organisation has them: official SDKs that repeat by themselves, programs
that leave and come back, with an ``Idempotency-Key`` or without, and some that spend all that they may."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

from tests.soak import town
from tests.soak.load import Exceeded, is_exceeded
from tests.soak.town import Caller

PICTURE = "picture"
BROKEN = "connection broken"
REFUSED = frozenset({"project_spend_limit_exceeded", "insufficient_quota"})
"""Codes of a limit that has no room: what the town's owner wants."""


@dataclass(frozen=True, slots=True)
class Manners:
    """``seconds`` that a picture takes: from, most often, to. ``think``: pauses between calls. ``patience``:
    for how long somebody who left comes back."""

    sdk: int = 18
    keyed: int = 4
    unkeyed: int = 4
    spenders: int = 2
    seconds: tuple[float, float, float] = (0.5, 1.0, 3.0)
    think: tuple[float, float] = (0.3, 1.5)
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """What became of one call, as its caller saw it. ``at`` is the wall clock's."""

    number: int
    kind: str
    at: float
    seconds: float
    outcome: str
    pictures: int = 0
    retries: int = 0
    left: int = 0
    """How often it left before its answer came."""
    replayed: bool = False

    @property
    def ended(self) -> float:
        return self.at + self.seconds


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request on the wire and the answer's status and code; ``seconds`` to its status line."""

    at: float
    seconds: float
    said: str
    again: bool
    """The SDK's own repetition of a call."""


class Wire(httpx2.AsyncBaseTransport):
    """Notes every exchange."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._exchanges = exchanges
        self._inner = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        begun, said = time.time(), BROKEN
        is_sdk = "x-stainless-lang" in request.headers
        again = is_sdk and request.headers.get("x-stainless-retry-count", "0") != "0"
        try:
            answer = await self._inner.handle_async_request(request)
            seconds, said = time.time() - begun, str(answer.status_code)
            if answer.status_code >= 400:
                await answer.aread()
                said = f"{said} {_code(answer)}"
            return answer
        except httpx2.HTTPError:
            seconds = time.time() - begun
            raise
        except asyncio.CancelledError:
            seconds, said = time.time() - begun, "left"
            raise
        finally:
            self._exchanges.append(Exchange(begun, seconds, said, again))

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(slots=True)
class Clients:
    """:meth:`run` until :attr:`ended`."""

    base_url: str
    manners: Manners
    seed: int = 1
    calls: list[Call] = field(default_factory=list)
    wire: list[Exchange] = field(default_factory=list)
    exceeded: list[Exceeded] = field(default_factory=list)
    looks: int = 0
    ended: bool = False
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _dice: random.Random = field(init=False)

    async def run(self) -> None:
        self._dice = random.Random(self.seed)
        manners, everybody = self.manners, town.callers()
        buyers = [caller for caller in everybody if caller.project not in (town.TIGHT, town.NARROW)]
        tight = [caller for caller in everybody if caller.project == town.TIGHT]
        sdks = [(self._sdk(caller), caller) for caller in buyers]
        raw = httpx2.AsyncClient(transport=Wire(self.wire), timeout=60, trust_env=False)
        own: list[Exchange] = []
        looking = httpx2.AsyncClient(transport=Wire(own), timeout=10, trust_env=False)
        try:
            await asyncio.gather(
                self._watch(looking, everybody),
                *(self._worker(lambda: self._by_sdk(*self._dice.choice(sdks))) for _ in range(manners.sdk)),
                *(self._worker(lambda: self._leaving(raw, buyers, True)) for _ in range(manners.keyed)),
                *(self._worker(lambda: self._leaving(raw, buyers, False)) for _ in range(manners.unkeyed)),
                *(self._worker(lambda: self._spending(raw, tight)) for _ in range(manners.spenders)),
            )
        finally:
            for client, _ in sdks:
                await client.close()
            await raw.aclose()
            await looking.aclose()

    def _sdk(self, caller: Caller) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=f"{self.base_url}/v1",
            api_key=caller.key,
            timeout=60,
            http_client=DefaultAsyncHttpxClient(transport=Wire(self.wire), trust_env=False),
        )

    async def _worker(self, call: Callable[[], Awaitable[Call]]) -> None:
        while not self.ended:
            self.calls.append(await call())
            await asyncio.sleep(self._dice.uniform(*self.manners.think))

    def _asked(self, number: int, user: str) -> tuple[dict[str, Any], float]:
        low, usual, high = self.manners.seconds
        seconds = self._dice.triangular(low, high, usual)
        return {
            "model": "gpt-image-2",
            "prompt": f"outage #{number}# [upstream: ok bytes=20000 delay={seconds:.2f}]",
            "size": "1024x1024",
            "quality": self._dice.choice(("low", "low", "medium")),
            "n": self._dice.choices((1, 2), (9, 1))[0],
            "user": user,
        }, seconds

    async def _by_sdk(self, client: AsyncOpenAI, caller: Caller) -> Call:
        number, begun = next(self._numbers), time.time()
        asked, _ = self._asked(number, self._dice.choice(caller.users))
        retries = pictures = 0
        replayed = False
        try:
            answer = await client.images.with_raw_response.generate(
                **asked, extra_headers={"x-client-request-id": str(number)}
            )
        except APIStatusError as error:
            outcome = f"{error.status_code} {error.code or error.type}"
        except APIConnectionError:
            outcome = BROKEN
        else:
            outcome, retries = PICTURE, answer.retries_taken
            pictures = sum(bool(each.b64_json) for each in answer.parse().data or ())
            replayed = answer.headers.get("x-imagegate-replayed") == "true"
        seconds = time.time() - begun
        return Call(number, "sdk", begun, seconds, outcome, pictures, retries, replayed=replayed)

    async def _leaving(self, client: httpx2.AsyncClient, callers: list[Caller], keyed: bool) -> Call:
        """Goes in the middle, comes back until it has its picture or its patience is over."""
        number, begun = next(self._numbers), time.time()
        caller = self._dice.choice(callers)
        asked, seconds = self._asked(number, self._dice.choice(caller.users))
        headers = self._headers(caller, number)
        if keyed:
            headers["idempotency-key"] = f"outage-{number}"
        stays, left, outcome = self._dice.uniform(0.2, 0.8) * seconds, 0, BROKEN
        kind = "keyed" if keyed else "unkeyed"
        while time.time() - begun < self.manners.patience:
            pause = self._dice.uniform(0.1, 0.6)
            try:
                async with asyncio.timeout(stays):
                    answer = await self._post(client, asked, headers)
            except TimeoutError:
                left += 1
                stays = self.manners.patience
            except httpx2.HTTPError:
                outcome = BROKEN
            else:
                outcome, pictures = _said(answer)
                if pictures:
                    replayed = answer.headers.get("x-imagegate-replayed") == "true"
                    took = time.time() - begun
                    return Call(number, kind, begun, took, outcome, pictures, left=left, replayed=replayed)
                final = answer.headers.get("x-should-retry") == "false"
                # Who has no key and insists would buy another picture, but may ask for one that is late.
                if answer.status_code < 500 or (final and not keyed and "upstream_timeout" not in outcome):
                    break
                pause = min(float(answer.headers.get("retry-after", 1)), 5.0)
            headers["x-stainless-retry-count"] = "1"
            await asyncio.sleep(pause)
        return Call(number, kind, begun, time.time() - begun, outcome, left=left)

    async def _spending(self, client: httpx2.AsyncClient, callers: list[Caller]) -> Call:
        """Asks whether there is room or not."""
        number, begun = next(self._numbers), time.time()
        caller, pictures = self._dice.choice(callers), 0
        asked, _ = self._asked(number, self._dice.choice(caller.users))
        try:
            answer = await self._post(client, asked, self._headers(caller, number))
        except httpx2.HTTPError:
            outcome = BROKEN
        else:
            outcome, pictures = _said(answer)
        return Call(number, "spender", begun, time.time() - begun, outcome, pictures)

    def _headers(self, caller: Caller, number: int) -> dict[str, str]:
        return {"authorization": f"Bearer {caller.key}", "x-client-request-id": str(number)}

    async def _post(
        self, client: httpx2.AsyncClient, asked: Mapping[str, Any], headers: Mapping[str, str]
    ) -> httpx2.Response:
        return await client.post(f"{self.base_url}/v1/images/generations", json=asked, headers=dict(headers))

    async def _watch(self, client: httpx2.AsyncClient, everybody: list[Caller]) -> None:
        """No limit may ever be seen above its amount."""
        while not self.ended:
            caller = self._dice.choice(everybody)
            user = self._dice.choice(caller.users)
            try:
                answer = await client.get(
                    f"{self.base_url}/v1/usage",
                    params={"end_user": user},
                    headers={"authorization": f"Bearer {caller.key}"},
                )
            except httpx2.HTTPError:
                answer = httpx2.Response(503)
            document = answer.json() if answer.status_code == 200 else {}
            limits = document.get("limits", ())
            self.looks += len(limits)
            self.exceeded += [
                Exceeded(f"{caller.key_id} {user}", limit, document["as_of"], self.base_url, ())
                for limit in filter(is_exceeded, limits)
            ]
            await asyncio.sleep(0.3)


def _said(answer: httpx2.Response) -> tuple[str, int]:
    """The outcome, and how many pictures it brought."""
    document = answer.json()
    if answer.status_code == 200:
        return PICTURE, sum(bool(each.get("b64_json")) for each in document["data"])
    return f"{answer.status_code} {_code(answer)}", 0


def _code(answer: httpx2.Response) -> str:
    """A provider's own error may have a type alone."""
    error = json.loads(answer.content)["error"]
    return str(error["code"] or error["type"])
