"""After the load: when nothing is held any more, and whether every counter then says what the rows add up to.

``somewhere`` gives the address of a replica that is ready, another one each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from tests.soak import accounts, town
from tests.soak.load import standing

GRACE_SECONDS = 60.0
"""Holds must be gone within the lease and this."""


async def nothing_held(somewhere: Callable[[], str], database: str, lease: float) -> float | None:
    """The moment (``time.monotonic``) when nothing was held or running any more, by the counters and by the
    ledger. None: it never came."""
    until = time.monotonic() + lease * 1.3 + lease + GRACE_SECONDS
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        while time.monotonic() < until:
            held = 0.0
            for caller in town.callers():
                for user in caller.users:
                    found = await standing(client, somewhere(), caller, user)
                    held += sum(float(limit["held"]) for limit in found) if found else 1
                if held:
                    break
            states = {row["state"] for row in await accounts.rows(database)}
            if not held and "dispatched" not in states:
                return time.monotonic()
            await asyncio.sleep(0.5)
    return None


async def unequal(somewhere: Callable[[], str], database: str) -> list[str]:
    """Every counter of every scope against the rows, thrice where they differ: a window may have ended
    between two looks."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for _ in range(3):
            attempts, differing = await accounts.rows(database), []
            for caller in town.callers():
                for user in caller.users:
                    found = await standing(client, somewhere(), caller, user)
                    if not found:
                        differing.append(f"{caller.key_id} {user}: no answer")
                    for limit in found:
                        wanted = accounts.expected(limit, caller.key_id, user, attempts, datetime.now(UTC))
                        told = (limit["used"], limit["unknown"])
                        if tuple(map(str, told)) != tuple(f"{x.normalize():f}" for x in wanted):
                            differing.append(f"{caller.key_id} {user}: {limit} and not {wanted}")
            if not differing:
                return []
        return differing
