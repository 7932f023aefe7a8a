"""A look at the servers of the counters, for somebody who wants to know before anything counts there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from config.counters import CountersAddress, Form, Host, counters_address
from gateway.quota.clock import wall_clock
from gateway.quota.connection import BROKEN, DEADLINE_SECONDS, asker, connect
from gateway.quota.store import SKEW_MS

_TAG = "imagegate-doctor"
_TRIAL = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return redis.call('TIME')"
"""What the counters' scripts do: they write, and they ask for the time."""


@dataclass(frozen=True, slots=True)
class Survey:
    """``server`` is what answered, such as ``redis 7.2.4``; None: nothing did. ``problems`` make the counters
    unusable, ``warnings`` do not."""

    form: Form
    server: str | None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


async def survey(url: str) -> Survey:
    """Never raises but for an ``url`` that is none: ValueError."""
    address = counters_address(url)
    silent = await _silent(address)
    link = connect(url, _TAG)
    try:
        async with asyncio.timeout(2 * DEADLINE_SECONDS):
            server = await link.info("server")
            memory, replication = await link.info("memory"), await link.info("replication")
    except BROKEN as error:
        return Survey(
            address.form, None, (f"cannot be reached: {error or type(error).__name__}",), tuple(silent)
        )
    else:
        problems = [*_eviction(memory), *await _tried(link)]
        warnings = [*silent, *_alone(address, replication)]
    finally:
        await link.aclose()
    name = "valkey" if "valkey_version" in server else "redis"
    version = server.get("valkey_version", server.get("redis_version", "of an unknown version"))
    return Survey(address.form, f"{name} {version}", tuple(problems), tuple(warnings))


async def _silent(address: CountersAddress) -> list[str]:
    """Those of several who do not answer. One that is alone is asked anyway."""
    if address.form is Form.SINGLE:
        return []
    ask = asker(address, lambda: address)

    async def why(host: Host) -> str | None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await ask(host, ("PING",))
        except BROKEN as error:
            return f"{host[0]}:{host[1]} does not answer: {error or type(error).__name__}"
        return None

    return [each for each in await asyncio.gather(*map(why, address.hosts)) if each is not None]


async def _tried(link: Redis) -> list[str]:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            seconds, microseconds = await link.eval(_TRIAL, 1, f"{{{_TAG}}}:trial")
    except BROKEN as error:
        return [f"does not run the scripts that count: {error or type(error).__name__}"]
    ahead = int(seconds) * 1000 + int(microseconds) // 1000 - wall_clock()
    if abs(ahead) > SKEW_MS:
        return [f"its clock is {abs(ahead) / 1000:.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"]
    return []


def _eviction(memory: Any) -> Iterator[str]:
    policy = memory.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        yield f"evicts counters when memory runs out (maxmemory-policy {policy}); set noeviction"


def _alone(address: CountersAddress, replication: Any) -> Iterator[str]:
    if address.form is not Form.SINGLE and replication.get("connected_slaves") == 0:
        yield "the server that would count has no replica, so that nobody can take its place"
