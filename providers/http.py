"""The one upstream client: HTTPX's API on aiohttp's engine. Only here do its exceptions get a meaning.

It calls the transport and not an ``httpx2.AsyncClient``: so there are no redirects, no cookies, no
authentication flows and no layers above the byte stream, by construction. The environment is not read.

What a failure means hangs on how far the request body got, not on the exception's class: httpx-aiohttp
reports a reset *after* the body was sent as ``ConnectTimeout`` (aiohttp's ``ServerDisconnectedError`` is a
``ClientConnectionError``, and that whole branch is mapped there), which read literally would make a paid
call look unsent::

    last byte not handed over               not_sent
    handed over, no status line             maybe_accepted
    2xx, then silence until the deadline    maybe_accepted
    2xx, then a cut                         answered, bad_payload
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
from httpx_aiohttp.httpx2 import AiohttpTransport
from httpx_aiohttp.httpx2.transport import AiohttpResponseStream

from config.upstream import UpstreamSettings
from providers.base import Certainty, Kind, ProviderError
from providers.upload import Upload

USER_AGENT = f"imagegate/{version('imagegate')}"

READ_BUFFER = 256 * 1024
"""Bytes per read and per relayed chunk: aiohttp's own 64 KiB and httpx-aiohttp's 16 KiB cost a turn each."""

_IDLE = 4.0
"""Seconds an idle connection is kept: less than the five after which common servers close theirs. A POST that
meets such a close ends as ``maybe_accepted``, although nobody took it."""

_MAX_HEADER = 64 * 1024


@dataclass(slots=True)
class Reply:
    """A status line with its headers, and a body that has not been read. ``aclose`` exactly once."""

    status: int
    headers: httpx2.Headers
    body: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]

    async def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes of the body; what lies beyond is left unread."""
        pieces: list[bytes] = []
        left = limit
        async for piece in self.body:
            pieces.append(piece[:left])
            left -= len(pieces[-1])
            if left <= 0:
                break
        return b"".join(pieces)


class UpstreamClient:
    """One per process, shared by every provider. It has no limit of its own on connections: how
    many calls an account may have at once is for those who send them."""

    def __init__(self, settings: UpstreamSettings | None = None, *, base: Path | None = None) -> None:
        """``base`` is where a relative ``ca_file`` starts, which is trusted beside the system's own roots.
        Raises OSError (ssl.SSLError is one) when it cannot be read."""
        self._settings = settings or UpstreamSettings()
        context = trusted_certificates(self._settings, base)
        proxy, self._proxy_authorization = _proxy(self._settings.proxy)
        self._transport = AiohttpTransport(
            verify=context, trust_env=False, proxy=proxy, client=lambda: _session(context)
        )

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        ends_at: float,
        provider: str,
        upload: Upload | None = None,
        starts_by: float | None = None,
    ) -> Reply:
        """Send one request and return at its status line, whatever the status. ``ends_at`` (in the running
        loop's time) bounds everything, the reading of the body included; what has no connection by
        ``starts_by`` is not sent. Raises :class:`ProviderError`."""
        try:
            async with asyncio.timeout_at(ends_at) as clock:
                request = self._request(method, url, headers, upload, ends_at, starts_by)
                if upload is not None:
                    upload.on_progress = lambda: self._bound_write(upload, clock, ends_at)
                response = await self._transport.handle_async_request(request)
        except BaseException as error:
            if upload is not None:
                upload.close()
            if isinstance(error, Exception):
                raise _no_answer(error, upload, provider) from error
            raise
        finally:
            if upload is not None:
                upload.on_progress = None

        stream = response.stream
        assert isinstance(stream, AiohttpResponseStream)
        stream.CHUNK_SIZE = READ_BUFFER

        async def aclose() -> None:
            # What goes wrong while a finished call is put away concerns nobody any more.
            with suppress(Exception):
                await stream.aclose()
            if upload is not None:
                upload.close()

        body = _Relay(stream, ends_at, response.status_code, provider)
        return Reply(response.status_code, response.headers, body, aclose)

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        upload: Upload | None,
        ends_at: float,
        starts_by: float | None,
    ) -> httpx2.Request:
        now = asyncio.get_running_loop().time()
        patience = ends_at - now if starts_by is None else starts_by - now
        if patience <= 0:
            # An idle connection would be had at once, whatever the time-out says.
            raise TimeoutError
        target = _url(url)
        sent = {**headers, "user-agent": USER_AGENT, "accept-encoding": "identity"}
        if upload is not None:
            sent |= {"content-type": upload.content_type, "content-length": str(upload.length)}
        if self._proxy_authorization is not None and target.scheme == "http":
            sent["proxy-authorization"] = self._proxy_authorization
        settings = self._settings
        timeout = {
            "connect": settings.connect_timeout,
            "write": settings.write_timeout,
            "read": max(ends_at - now, 0.001),
            # aiohttp bounds the whole of connecting with this one: name look-up, TCP, proxy and TLS.
            "pool": min(settings.connect_timeout + settings.pool_timeout, patience),
        }
        return httpx2.Request(method, target, headers=sent, stream=upload, extensions={"timeout": timeout})

    def _bound_write(self, upload: Upload, clock: asyncio.Timeout, ends_at: float) -> None:
        """aiohttp has no write time-out: the call's own clock is set anew for each piece."""
        if clock.expired():
            return
        stalled_at = asyncio.get_running_loop().time() + self._settings.write_timeout
        clock.reschedule(ends_at if upload.finished else min(ends_at, stalled_at))

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Relay:
    """The transport's own chunks, each waited for until the call's deadline and no longer."""

    __slots__ = ("_ends_at", "_next", "_provider", "_status")

    def __init__(self, stream: AiohttpResponseStream, ends_at: float, status: int, provider: str) -> None:
        self._next = stream.__aiter__().__anext__
        self._ends_at = ends_at
        self._status = status
        self._provider = provider

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._ends_at):
                return await self._next()
        except StopAsyncIteration:
            raise
        except Exception as error:
            raise _cut(error, self._status, self._provider) from error


_BEFORE_SENDING: tuple[tuple[tuple[type[BaseException], ...], Kind, str], ...] = (
    ((aiohttp.ClientConnectorDNSError,), Kind.SERVER, "its host name could not be resolved"),
    ((ssl.SSLError, aiohttp.ClientSSLError), Kind.SERVER, "the TLS handshake failed"),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        Kind.SERVER,
        "the proxy let no connection through",
    ),
    ((TimeoutError,), Kind.TIMEOUT, "it could not be reached in time"),
    ((ConnectionRefusedError,), Kind.SERVER, "the connection was refused"),
    ((aiohttp.ServerDisconnectedError,), Kind.SERVER, "the connection ended without an answer"),
    ((OSError,), Kind.SERVER, "no connection could be made"),
)
"""What kept a request from being sent; the first row that fits anything in the chain of causes."""


def _no_answer(error: Exception, upload: Upload | None, provider: str) -> ProviderError:
    """The meaning of a call that ended without a status line."""
    chain = tuple(_causes(error))
    silent = any(isinstance(cause, TimeoutError) for cause in chain)
    kind = Kind.TIMEOUT if silent else Kind.SERVER
    certainty = Certainty.NOT_SENT
    if upload is not None and upload.broken is not None:
        kind, what = Kind.SERVER, str(upload.broken)
    elif upload is not None and upload.handed_over:
        certainty = Certainty.MAYBE_ACCEPTED
        what = "no answer came in time" if silent else "the connection ended without an answer"
    elif upload is not None and upload.started:
        what = "the request could not be written " + ("in time" if silent else "to its end")
    else:
        kind, what = _before_sending(chain)
    return ProviderError(kind, certainty, f"The call to provider '{provider}' failed: {what}.")


def _before_sending(chain: tuple[BaseException, ...]) -> tuple[Kind, str]:
    for types, kind, what in _BEFORE_SENDING:
        if any(isinstance(cause, types) for cause in chain):
            return kind, what
    return Kind.SERVER, "the request could not be sent"


def _cut(error: Exception, status: int, provider: str) -> ProviderError:
    """The meaning of an answer whose body did not come to its end."""
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        kind, certainty, what = (
            Kind.TIMEOUT,
            Certainty.MAYBE_ACCEPTED,
            "fell silent amid its answer",
        )
    else:
        kind, certainty, what = Kind.BAD_PAYLOAD, Certainty.ANSWERED, "cut its answer short"
    return ProviderError(kind, certainty, f"Provider '{provider}' {what}.", status=status)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, down to the operating system's own."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        # aiohttp's connector errors hold the socket's error in an attribute.
        if isinstance(inner := getattr(seen, "os_error", None), BaseException):
            yield inner
        seen = seen.__cause__


def trusted_certificates(settings: UpstreamSettings, base: Path | None) -> ssl.SSLContext:
    """The system's own roots and ``ca_file``; a relative one starts from ``base``. Raises OSError."""
    context = httpx2.create_ssl_context(trust_env=False)
    if settings.ca_file is not None:
        context.load_verify_locations((base or Path()) / settings.ca_file)
    return context


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=context, limit=0, limit_per_host=0, keepalive_timeout=_IDLE, socket_factory=_socket
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=READ_BUFFER,
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
    )


def _socket(address: Any) -> socket.socket:
    """TCP keep-alive: while a picture is made no byte flows, and NAT gateways forget silent flows."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 45), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return made


@lru_cache(1024)
def _url(text: str) -> httpx2.URL:
    """Parsed once: a process calls a handful of addresses, and parsing costs as much as sending."""
    return httpx2.URL(text)


def _proxy(address: str | None) -> tuple[httpx2.Proxy | None, str | None]:
    """The proxy without its credentials, and these as a ``Proxy-Authorization`` value. aiohttp sends the
    proxy's own headers only on CONNECT; requests to plain http upstreams carry the value themselves."""
    if address is None:
        return None, None
    url = httpx2.URL(address)
    if not url.username:
        return httpx2.Proxy(url), None
    pair = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    bare = url.copy_with(username=None, password=None)
    return httpx2.Proxy(bare, headers={"proxy-authorization": f"Basic {pair}"}), f"Basic {pair}"
