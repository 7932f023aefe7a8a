"""The client of the counters, with defaults that suit an admission in a request's path.

redis-py's own defaults answer a black-holed server after 58 s. Here a socket has 250 ms and one repetition.
Its clients for sentinels and clusters are not used: one waits for its sentinels in turn, the other has no
bounded pool, repeats by rules of its own and asks any node for INFO. One pool of plain connections serves
every form; each asks ``finding.py`` where to go when it is made.

Every new connection compares the server's identity with the one that the ledger has beside the epoch: after
an asynchronous failover acknowledged holds may be missing, so another server means: rebuild first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import MovedError, ReadOnlyError, RedisError, ResponseError

from config.counters import CountersAddress, Form, Host, counters_address
from gateway.quota.errors import StoreAway, UnsafeStore
from gateway.quota.finding import Ask, ByCluster, BySentinels, Finder, Named

T = TypeVar("T")

SOCKET_SECONDS = 0.25
POOL_SECONDS = 0.25
CONNECTIONS = 32

DEADLINE_SECONDS = 0.9
"""For one errand, connecting and one repetition included: every failure is known within a second."""

BROKEN = (RedisError, OSError, RuntimeError)
"""Raised by a call whose connection is lost; RuntimeError is uvloop's, where it was closed under a write."""


class OtherServer(RedisError):
    """Another server than the one that the counters were built in answered. No ConnectionError, so that it is
    not tried again."""


class NotTheMaster(NoConnection):
    """A replica answered. Tried again, at the place that is found then."""


UrlNow = Callable[[], str | None]
"""The URL as it is written now: passwords change under a process that runs. May raise ValueError, LookupError
and OSError."""


def connect(
    url: str, tag: str = "", *, expected: Callable[[], str | None] | None = None, now: UrlNow | None = None
) -> Redis:
    """A client of the one server that has the keys with the hash tag ``tag``, which only a cluster needs to
    know. ``expected`` says which server a new connection must find; None: not compared. User and password of
    each new connection are those of ``now``. Raises ValueError for an ``url`` that is none."""
    address = counters_address(url)
    current = partial(_current, address, now)

    async def greet(connection: Any) -> None:
        login = current().login
        connection.username, connection.password = login.username, login.password
        await connection.on_connect()
        found = await _identity(connection)
        wanted = expected() if expected is not None else None
        if wanted is not None and found not in (wanted, None):
            raise OtherServer("the server is not that of the epoch")

    pool = BlockingConnectionPool(
        connection_class=_Link if address.tls is None else _EncryptedLink,
        max_connections=CONNECTIONS,
        timeout=POOL_SECONDS,
        retry=Retry(NoBackoff(), 1),
        redis_connect_func=greet,
        finder=_finder(address, tag, current),
        db=address.db,
        **_options(address),
    )
    return Redis.from_pool(pool)


async def renew(link: Redis) -> None:
    """Nothing is sent over the connections of now any more: they end, those in use when they come back."""
    pool = link.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
    with suppress(*BROKEN):
        await pool.disconnect(inuse_connections=False)


def is_elsewhere(answer: object) -> bool:
    """Whether a server says that it has the keys no longer: it became a replica, or its slot went away."""
    if isinstance(answer, ReadOnlyError | MovedError):
        return True
    # Redis 6 words it so where a script has found out.
    return isinstance(answer, ResponseError) and "-READONLY " in str(answer)


def _current(address: CountersAddress, now: UrlNow | None) -> CountersAddress:
    """With the logins of now. Where they cannot be had, those of before may still do."""
    try:
        found = counters_address((now and now()) or "")
    except (ValueError, LookupError, OSError):
        return address
    return replace(address, login=found.login, sentinel_login=found.sentinel_login)


async def identity(url: str, tag: str = "", now: UrlNow | None = None) -> str | None:
    """Which server answers now, by its ``run_id`` and by the name of its data's history, which every
    promotion changes; None where a proxy hides it. Raises :class:`StoreAway`, and :class:`UnsafeStore` as
    :func:`refuse_eviction` does."""

    async def look(link: Redis) -> str | None:
        _refuse(await link.info("memory"))
        return _name(await link.info("server"), await link.info("replication"))

    return await _errand(connect(url, tag, now=now), look)


async def claim(
    url: str, name: str, milliseconds: int, tag: str = "", now: UrlNow | None = None, *, again: bool = False
) -> bool:
    """Take a lock that ends by itself, whichever server answers: not through connections that admissions use.
    ``again`` prolongs one that was taken. Raises :class:`StoreAway`."""

    async def take(link: Redis) -> bool:
        return bool(await link.set(name, "1", nx=not again, xx=again, px=milliseconds))

    return await _errand(connect(url, tag, now=now), take)


async def kept(
    url: str, name: str, fields: Sequence[str], tag: str = "", now: UrlNow | None = None
) -> Sequence[bytes | str | None]:
    """Fields of a hash, whichever server answers, likewise. Raises :class:`StoreAway`."""

    async def look(link: Redis) -> Sequence[bytes | str | None]:
        return await link.hmget(name, fields)

    return await _errand(connect(url, tag, now=now), look)


async def refuse_eviction(link: Redis) -> None:
    """Raises :class:`UnsafeStore` where the server would evict keys that have a TTL: counters do."""
    _refuse(await _in_time(link.info("memory")))


async def _errand(link: Redis, run: Callable[[Redis], Awaitable[T]]) -> T:
    """Over connections of its own."""
    try:
        return await _in_time(run(link))
    finally:
        await link.aclose()


async def _in_time(work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await work
    except UnsafeStore:
        raise
    except BROKEN as error:
        raise StoreAway(type(error).__name__) from None


def _refuse(memory: Any) -> None:
    policy = _field(memory, "maxmemory_policy")
    if policy not in (None, "noeviction"):
        raise UnsafeStore(
            f"This Redis evicts keys when memory runs out (maxmemory-policy {policy}), and with them what "
            "was spent. Set maxmemory-policy noeviction."
        )


class _Link(Connection):
    """A connection that goes to where ``finder`` says, each time it is made."""

    def __init__(self, *, finder: Finder, **options: Any) -> None:
        super().__init__(**options)
        self._finder = finder

    async def _connect(self) -> None:
        self.host, self.port = await self._finder.where()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        try:
            await super().connect_check_health(*args, **options)
        except BROKEN:
            self._finder.lost((self.host, self.port))
            raise

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if is_elsewhere(error):
                self._finder.lost((self.host, self.port))
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            raise


class _Encrypted(SSLConnection):
    """``tls`` is shared: reading the authorities takes longer than connecting."""

    def __init__(self, *, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


class _EncryptedLink(_Link, _Encrypted):
    pass


def _options(address: CountersAddress) -> dict[str, Any]:
    """For every connection, whoever is at its other end."""
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "protocol": 2,
    }
    if address.tls is not None:
        named: dict[str, Any] = {name.removeprefix("ssl_"): value for name, value in address.tls.items()}
        options["tls"] = RedisSSLContext(**{"cert_reqs": "required", "check_hostname": True, **named})
    return options


def _finder(address: CountersAddress, tag: str, current: Callable[[], CountersAddress]) -> Finder:
    if address.form is Form.SINGLE:
        return Named(address.hosts[0])
    ask = asker(address, current)
    if address.form is Form.SENTINEL:
        return BySentinels(address.hosts, address.service, ask)
    if not tag:
        raise ValueError("a cluster's server is found by the tag of the keys")
    return ByCluster(address.hosts, tag, ask)


def asker(address: CountersAddress, current: Callable[[], CountersAddress]) -> Ask:
    """For those whom the address names, over a connection for each question; the login is ``current``'s."""
    options = _options(address)
    kind = Connection if address.tls is None else _Encrypted

    async def ask(host: Host, command: Sequence[str]) -> Any:
        login = current().sentinel_login if address.form is Form.SENTINEL else current().login
        named: dict[str, Any] = {"host": host[0], "port": host[1], **asdict(login)}
        link = kind(**named, **options, driver_info=None)
        try:
            await link.connect()  # type: ignore[no-untyped-call]
            await link.send_command(*command)
            return await link.read_response()
        finally:
            await link.disconnect(nowait=True)

    return ask


async def _identity(connection: Any) -> str | None:
    """Of the server at the other end, in one turn. Raises :class:`NotTheMaster`."""
    for section in ("server", "replication"):
        await connection.send_command("INFO", section)
    server, replication = await connection.read_response(), await connection.read_response()
    if _field(replication, "role") not in ("master", None):
        raise NotTheMaster("a replica answers")
    return _name(server, replication)


def _name(server: Any, replication: Any) -> str | None:
    run_id, history = _field(server, "run_id"), _field(replication, "master_replid")
    return run_id if run_id is None or history is None else f"{run_id}/{history}"


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
