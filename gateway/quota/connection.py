"""The Redis client, with defaults that suit an admission in a request's path, and the server's identity.

redis-py's own defaults answer a black-holed server after 58 s. Here a socket has 250 ms and one repetition.
Every new connection compares the server's ``run_id`` with the one that the ledger has beside the epoch: after
an asynchronous failover acknowledged holds may be missing, so another server means: rebuild first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.quota.errors import StoreAway, UnsafeStore

SOCKET_SECONDS = 0.25
POOL_SECONDS = 0.25
CONNECTIONS = 32

BROKEN = (RedisError, OSError, RuntimeError)
"""Raised by a call whose connection is lost; RuntimeError is uvloop's, where it was closed under a write."""


class OtherServer(RedisError):
    """Another server than the one that the counters were built in answered. No ConnectionError, so that it is
    not tried again."""


def connect(url: str, *, expected: Callable[[], str | None] | None = None) -> Redis:
    """A client of ``url``. ``expected`` says which server a new connection must find; None: not compared."""

    async def greet(connection: Any) -> None:
        await connection.on_connect()
        wanted = expected() if expected is not None else None
        if wanted is not None:
            await connection.send_command("INFO", "server")
            if _field(await connection.read_response(), "run_id") not in (wanted, None):
                raise OtherServer("the server's run_id is not that of the epoch")

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=POOL_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 1),
        protocol=2,
        redis_connect_func=greet,
    )
    return Redis.from_pool(pool)


async def run_id(url: str) -> str | None:
    """Which server answers at ``url`` now; None where a proxy hides it. Raises :class:`StoreAway`."""
    link = connect(url)
    try:
        return _field(await link.info("server"), "run_id")
    except BROKEN as error:
        raise StoreAway(type(error).__name__) from None
    finally:
        await link.aclose()


async def claim(url: str, name: str, milliseconds: int) -> bool:
    """Take a lock that ends by itself, whichever server answers: not through connections that admissions use.
    Raises :class:`StoreAway`."""
    link = connect(url)
    try:
        return bool(await link.set(name, "1", nx=True, px=milliseconds))
    except BROKEN as error:
        raise StoreAway(type(error).__name__) from None
    finally:
        await link.aclose()


async def refuse_eviction(link: Redis) -> None:
    """Raises :class:`UnsafeStore` where the server would evict keys that have a TTL: counters do."""
    try:
        policy = _field(await link.info("memory"), "maxmemory_policy")
    except BROKEN as error:
        raise StoreAway(type(error).__name__) from None
    if policy not in (None, "noeviction"):
        raise UnsafeStore(
            f"This Redis evicts keys when memory runs out (maxmemory-policy {policy}), and with them what "
            "was spent. Set maxmemory-policy noeviction."
        )


def _field(info: Any, name: str) -> str | None:
    """From INFO's text, or from the dict that redis-py makes of it."""
    if isinstance(info, dict):
        value = info.get(name)
        return None if value is None else str(value)
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return None
