"""Fetching what others name: pictures behind URLs of callers, and behind URLs in upstreams' answers.

Either may point into the operator's own network, so every hop is judged anew (public_address.py): the host is
resolved once, all its addresses must be public, and the connection goes to one of just these, under the
host's name in TLS and in ``Host``. Nothing of ours goes along: no key, no cookie, no referrer; the
environment is not read. What is raised says what the caller may know, and never what answered inside::

    FetchFailed    forbidden     the URL is not one to fetch, or its host has no public address
                   unreachable   no connection, no TLS, no answer that is HTTP
                   refused       a status other than 200
                   redirects     too many of them
                   too_large
                   too_slow
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from config.media import FetchSettings
from config.upstream import UpstreamSettings
from providers.http import trusted_certificates
from providers.public_address import (
    NOT_PUBLIC,
    Address,
    Destination,
    NotFetchable,
    addresses_of,
    destination,
    origin_at,
    origin_of,
)

MOST_REDIRECTS = 3
AT_ONCE = 32
"""Fetches at once in one process; more wait within their own time."""

_CHUNK = 256 * 1024
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "imagegate"}
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_HEADER = 16 * 1024


class Reason(StrEnum):
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    REDIRECTS = "redirects"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"


class FetchFailed(Exception):
    """``message`` says why, to be put after a colon, and fit for whoever named the URL. ``host`` and ``kind``
    (of its address) are for the operator's log alone."""

    def __init__(
        self, reason: Reason, message: str, *, host: str | None = None, kind: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.host = host
        self.kind = kind


class GuardedFetch:
    """One per process. ``settings`` hold the origins that may be fetched although they are inside."""

    def __init__(
        self, settings: FetchSettings, upstream: UpstreamSettings | None = None, *, base: Path | None = None
    ) -> None:
        """``upstream`` gives the proxy and further certificate authorities, ``base`` is where a relative
        ``ca_file`` starts. Raises OSError when that cannot be read."""
        upstream = upstream or UpstreamSettings()
        self.settings = settings
        self._origins = frozenset(map(origin_of, settings.private_origins))
        self._certificates = trusted_certificates(upstream, base)
        self._proxy = upstream.proxy
        self._connecting = upstream.connect_timeout
        self._room = asyncio.Semaphore(AT_ONCE)
        # Names of a caller's choice may take as long as their servers please; the loop's own threads, which
        # write uploads, must not wait for them.
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")

    def is_named(self, url: str) -> bool:
        """Whether the operator named the origin of this URL (``media.fetch.private_origins``)."""
        return bool(self._origins) and origin_at(url) in self._origins

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def fetch(
        self,
        url: str,
        *,
        most_bytes: int | None = None,
        seconds: float | None = None,
        also: Collection[str] = (),
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of ``url`` in chunks, inside an ``async with``. ``most_bytes`` and ``seconds`` (the whole
        fetch, redirects and waiting included) default to the settings'. ``also`` are addresses of servers
        whose origins this one fetch may go to besides: a provider's own, for links in its answers. Raises
        :class:`FetchFailed`, on entering or while the chunks are read."""
        most = self.settings.max_bytes if most_bytes is None else most_bytes
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + (self.settings.timeout if seconds is None else seconds)
        origins = self._origins.union(map(origin_at, also))
        async with _bounded(self._room, ends_at):
            session, response = await self._follow(url, origins, ends_at)
            try:
                if (response.content_length or 0) > most:
                    raise _too_large(most)
                yield _chunks(response, most, ends_at)
            finally:
                response.close()
                await session.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, also: Collection[str] = ()
    ) -> int:
        """Send a JSON body there and return the status; what is answered is not read, and a redirect is not
        followed. Raises :class:`FetchFailed`."""
        ends_at = asyncio.get_running_loop().time() + seconds
        origins = frozenset(map(origin_at, also))
        async with _bounded(self._room, ends_at):
            session, response = await self._hop(url, origins, ends_at, headers, body)
            response.close()
            await session.close()
            return response.status

    async def _follow(
        self, url: str, origins: frozenset[str], ends_at: float
    ) -> tuple[aiohttp.ClientSession, aiohttp.ClientResponse]:
        """The first answer that is no redirect, with the session to close after it."""
        for _ in range(MOST_REDIRECTS + 1):
            session, response = await self._hop(url, origins, ends_at, _HEADERS)
            if response.status not in _MOVED:
                if response.status == 200:
                    return session, response
                await session.close()
                raise FetchFailed(Reason.REFUSED, f"its server answered with status {response.status}")
            location = response.headers.get("Location", "")
            await session.close()
            try:
                url = urljoin(url, location)
            except ValueError:
                raise FetchFailed(Reason.FORBIDDEN, "it redirects to what is no URL") from None
        raise FetchFailed(Reason.REDIRECTS, f"it redirects more than {MOST_REDIRECTS} times")

    async def _hop(
        self,
        url: str,
        origins: frozenset[str],
        ends_at: float,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> tuple[aiohttp.ClientSession, aiohttp.ClientResponse]:
        """One hop: judged, resolved, judged again, asked."""
        try:
            async with asyncio.timeout_at(ends_at):
                to = destination(url, origins)
                addresses = await self._resolve(to)
                return await self._ask(to, addresses, headers, body)
        except NotFetchable as error:
            raise FetchFailed(Reason.FORBIDDEN, str(error), host=error.host, kind=error.kind) from None
        except TimeoutError:
            raise _too_slow() from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise FetchFailed(Reason.UNREACHABLE, "its server could not be reached") from None

    async def _resolve(self, to: Destination) -> tuple[Address, ...]:
        """Every address of the host, all of them public unless the operator named the origin."""
        if to.literal is not None:
            return (to.literal,)
        look_up = partial(socket.getaddrinfo, to.host, to.port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
            addresses = addresses_of([str(sockaddr[0]) for *_, sockaddr in found])
        except (OSError, ValueError):
            raise NotFetchable(NOT_PUBLIC, host=to.host, kind="unknown_name") from None
        for address in addresses:
            if kind := to.refuses(address):
                raise NotFetchable(NOT_PUBLIC, host=to.host, kind=kind)
        return addresses

    async def _ask(
        self, to: Destination, addresses: Sequence[Address], headers: Mapping[str, str], body: bytes | None
    ) -> tuple[aiohttp.ClientSession, aiohttp.ClientResponse]:
        proxied = self._proxy is not None and not to.named
        # A proxy would resolve a name again; so it is told the address, and TLS still asks for the name.
        host = str(addresses[0]) if proxied else None
        session = self._session(None if proxied else addresses)
        try:
            response = await session.request(
                "GET" if body is None else "POST",
                URL(to.url(host), encoded=True),
                data=body,
                headers={"Host": to.authority, **headers},
                allow_redirects=False,
                server_hostname=to.host if proxied and to.literal is None else None,
                proxy=self._proxy if proxied else None,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connecting),
            )
        except BaseException:
            await session.close()
            raise
        return session, response

    def _session(self, addresses: Sequence[Address] | None) -> aiohttp.ClientSession:
        """A session for one request: nothing is kept that another fetch could meet. ``addresses`` are the
        only ones it can connect to; None: to the proxy's."""
        pinned: dict[str, Any] = {}
        if addresses is not None:
            pinned = {
                "resolver": _Pinned(addresses),
                "socket_factory": partial(_socket, frozenset(addresses)),
            }
        connector = aiohttp.TCPConnector(
            ssl=self._certificates, use_dns_cache=False, force_close=True, limit=0, **pinned
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_CHUNK,
            max_line_size=_MOST_HEADER,
            max_field_size=_MOST_HEADER,
        )


class _Pinned(AbstractResolver):
    """Answers with the addresses that were judged, whatever it is asked."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """It holds nothing."""


def _socket(judged: frozenset[Address], info: Any) -> socket.socket:
    """A socket towards a judged address and no other: the last look before a connection is made."""
    family, kind, protocol, _, address = info
    if not set(addresses_of([address[0]])) <= judged:
        raise PermissionError("the connection would go to an address that nobody judged")
    return socket.socket(family, kind, protocol)


@asynccontextmanager
async def _bounded(room: asyncio.Semaphore, ends_at: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(ends_at):
            await room.acquire()
    except TimeoutError:
        raise _too_slow() from None
    try:
        yield
    finally:
        room.release()


async def _chunks(response: aiohttp.ClientResponse, most: int, ends_at: float) -> AsyncIterator[bytes]:
    """The body; one that drips, does not end, or is cut raises."""
    read = 0
    while True:
        try:
            async with asyncio.timeout_at(ends_at):
                chunk = await response.content.readany()
        except TimeoutError:
            raise _too_slow() from None
        except (aiohttp.ClientError, OSError):
            raise FetchFailed(Reason.UNREACHABLE, "its server cut the answer short") from None
        if not chunk:
            return
        read += len(chunk)
        if read > most:
            raise _too_large(most)
        yield chunk


def _too_large(most: int) -> FetchFailed:
    return FetchFailed(Reason.TOO_LARGE, f"it is larger than {most} bytes")


def _too_slow() -> FetchFailed:
    return FetchFailed(Reason.TOO_SLOW, "it did not arrive in time")
