"""A storm of clients that leave: each call is cut off at a random moment, while its request is sent, while it
waits, or while its answer comes, by a close or by a reset. Then the reckoning: what is still held, what the
upstream billed, what leaked."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import struct
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.contract.gateway_here import KEY, Here
from tests.faults.budgeted import budgeted, standing
from tests.simulators.openai_upstream import Upstream
from tests.simulators.pictures import picture
from tests.soak.accounts import IMAGE_OUT, NANO, TEXT_IN

AFTERWARDS = 40
IMAGE_IN = 8_000
"""Nano-dollars a token."""

QUIET_SECONDS = 20.0
"""For calls without clients to end, and for idle connections to be closed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``slowest``: seconds that a picture takes at most."""

    requests: int
    at_once: int = 60
    places: int = 20
    slowest: float = 0.4
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Level:
    """What the process holds. ``files`` are all that are open but sockets."""

    tasks: int
    files: int
    sockets: int
    spooled: int
    running: int

    @classmethod
    def of(cls, here: Here) -> Level:
        engine, folder = here.gateway.engine, Path("/proc/self/fd")
        kinds = Counter[bool]()
        for entry in folder.iterdir() if folder.exists() else ():
            with suppress(OSError):  # the listing's own is gone by now
                kinds[os.readlink(entry).startswith("socket:")] += 1
        return cls(
            len(asyncio.all_tasks()),
            kinds[False],
            kinds[True],
            here.gateway.room.in_memory,
            len(engine.running),
        )

    def above(self, calm: Level) -> dict[str, int]:
        names = ("tasks", "files", "sockets", "spooled", "running")
        pairs = {name: getattr(self, name) - getattr(calm, name) for name in names}
        return {name: more for name, more in pairs.items() if more > 0}


@dataclass(slots=True)
class Report:
    plan: Plan
    left: Counter[str]
    """When the clients left."""
    sent: int
    """Calls that reached the upstream."""
    succeeded: int
    """Of the calls afterwards, all made at once."""
    held: float
    unknown: float
    used: float
    billed: float
    states: Counter[str]
    leaked: dict[str, int]
    seconds: float
    quiet_after: float

    @property
    def clean(self) -> bool:
        return (
            self.succeeded == AFTERWARDS
            and self.held == self.unknown == 0
            and self.used == self.billed
            and set(self.states) <= {"settled", "released"}
            and not self.leaked
        )

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.plan.requests} clients left in {self.seconds:.0f} s: {dict(self.left.most_common())}",
                f"{self.sent} calls reached the upstream; attempts in the ledger: {dict(self.states)}",
                f"billed ${self.billed:.4f}, used ${self.used:.4f}, held ${self.held}, "
                f"unknown ${self.unknown}",
                f"{self.succeeded} of {AFTERWARDS} calls afterwards, all at once, succeeded",
                f"quiet {self.quiet_after:.1f} s after the last of them; leaked: {self.leaked or 'nothing'}",
            ]
        )


async def storm(plan: Plan, folder: Path) -> Report:
    """Gateway, upstream and clients in this event loop, so that every task and file is seen."""
    limits: list[dict[str, Any]] = [{"spend_usd": 1000, "per": "day"}, {"concurrent": plan.requests}]
    provider = {"max_in_flight": plan.places, "max_queue": plan.requests}
    async with Upstream(keep=100_000, keep_files=False) as upstream:
        async with budgeted(upstream, folder, *limits, provider=provider) as here:
            unused = Level.of(here)
            await _at_once(here, AFTERWARDS)
            await here.gateway.engine.running.drained(QUIET_SECONDS)
            # Connections to the upstream stay open for a while; what else a first call opens stays for good.
            calm = replace(Level.of(here), sockets=unused.sockets)
            begun = time.monotonic()
            left = await _left(here, plan)
            seconds = time.monotonic() - begun
            await here.gateway.engine.running.drained(QUIET_SECONDS)
            sent = len(upstream.images) - AFTERWARDS
            succeeded = await _at_once(here, AFTERWARDS)
            ended = time.monotonic()
            after = await _quiet(here, calm)
            used, held, unknown = await standing(here)
            states = Counter(str(row["state"]) for row in await here.rows("attempts"))
            return Report(
                plan, left, sent, succeeded, held, unknown, used, round(_bill(upstream) / NANO, 9), states,
                after.above(calm), seconds, time.monotonic() - ended,
            )  # fmt: skip


async def _at_once(here: Here, count: int) -> int:
    """How many succeed; no connection of theirs stays."""

    async def one(number: int) -> bool:
        fields = {"model": "gpt-image-2", "prompt": f"calm {number}", "size": "1024x1024", "quality": "low"}
        answer = await here.client.post(
            "/v1/images/generations", json=fields, headers={"connection": "close"}
        )
        return answer.status_code == 200

    return sum(await asyncio.gather(*(one(number) for number in range(count))))


def _bill(upstream: Upstream) -> int:
    """Nano-dollars, by the upstream's own record and the published prices."""
    total = 0
    for call in upstream.images:
        usage: Any = call.usage
        if usage is not None:
            told = usage["input_tokens_details"]
            total += told["text_tokens"] * TEXT_IN + told["image_tokens"] * IMAGE_IN
            total += usage["output_tokens"] * IMAGE_OUT
    return total


async def _quiet(here: Here, calm: Level) -> Level:
    """The level once it is down to ``calm``; or the last one, where it never is."""
    until = time.monotonic() + QUIET_SECONDS
    while (now := Level.of(here)).above(calm) and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return now


async def _left(here: Here, plan: Plan) -> Counter[str]:
    dice, left = random.Random(plan.seed), Counter[str]()
    numbers = iter(range(plan.requests))

    async def clients() -> None:
        for number in numbers:
            left[await _one(here.port, number, dice, plan)] += 1

    await asyncio.gather(*(clients() for _ in range(plan.at_once)))
    return left


async def _one(port: int, number: int, dice: random.Random, plan: Plan) -> str:
    """Ask, and leave; when, in words."""
    seconds, size = dice.uniform(0, plan.slowest), dice.choice((5_000, 200_000, 1_500_000))
    request, is_stream = _request(number, dice, f"[upstream: ok bytes={size} delay={seconds:.2f}]")
    moment = dice.choices(("sending", "waiting", "reading"), (2, 5, 3))[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=8192)
    with suppress(OSError, asyncio.IncompleteReadError):
        if moment == "sending":
            writer.write(request[: dice.randrange(len(request))])
            await asyncio.sleep(dice.uniform(0, 0.02))
        else:
            writer.write(request)
            await writer.drain()
        if moment == "waiting":
            await asyncio.sleep(dice.uniform(0, seconds * 1.1))
        elif moment == "reading":
            async with asyncio.timeout(30):
                await reader.readexactly(dice.randrange(400 if is_stream else size))
    if dice.random() < 0.5:
        _reset_on_close(writer)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return moment


_PICTURE = picture("png", 256, 256, size=60_000).data


def _request(number: int, dice: random.Random, directive: str) -> tuple[bytes, bool]:
    is_stream = dice.random() < 0.3
    fields = {
        "model": "gpt-image-2",
        "prompt": f"storm {number} {directive}",
        "size": "1024x1024",
        "quality": "low",
    }
    if dice.random() < 0.25:
        body, kind, route = (
            _form(fields, _PICTURE),
            "multipart/form-data; boundary=b",
            "edits",
        )
        is_stream = False
    else:
        more = {"stream": True, "partial_images": 1} if is_stream else {}
        body, kind, route = json.dumps({**fields, **more}).encode(), "application/json", "generations"
    head = (
        f"POST /v1/images/{route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body, is_stream


def _form(fields: dict[str, str], picture: bytes) -> bytes:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    top = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
    return b"".join([*parts, top, b"\r\n\r\n", picture, b"\r\n--b--\r\n"])


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
