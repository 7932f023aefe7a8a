"""An account at an upstream that is called over HTTP: what every such adapter has in common.

One POST a picture call, and one free GET to look whether it is there. How many calls an account has at once
is for the caller to bound.
Only headers of our own go upstream; nothing a client sent is copied. An adapter says where to send, what, and
what the answers mean.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from config.secrets import Secret, SecretRef
from providers.base import Certainty, ImageRequest, ImageResult, Kind, Operation, Probe, ProviderError
from providers.credential import Credential
from providers.http import Reply, UpstreamClient
from providers.openai_errors import request_id
from providers.scrub import Scrubber
from providers.upload import Upload

_ERROR_BODY = 64 * 1024
_ERROR_SECONDS = 10.0
"""A refusal's status is known at once; its words are worth waiting for this long."""

_PROBE_BODY = 4 * 2**20
_PROBE_SECONDS = 10.0

Resolve = Callable[[SecretRef], Secret]
"""How an adapter gets the value behind a reference; raises config.secrets.SecretMissing."""


class Account(ABC):
    """The common part. ``headers`` name the account beside what proves it; those without a value are not
    sent."""

    type: str

    def __init__(
        self,
        name: str,
        client: UpstreamClient,
        base_url: str,
        credential: Credential,
        headers: Mapping[str, str | None] = {},
    ) -> None:
        """Raises ValueError for a ``base_url`` that is no http(s) address or holds credentials."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"providers.{name}.base_url must be an http:// or https:// address")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(
                f"providers.{name}.base_url must hold no credentials, query or fragment; "
                "name a key with api_key or headers"
            )
        self.name = name
        self.owns_client = False
        """Whether :meth:`aclose` closes the client; one that is shared is closed by who made it."""
        self.base_url = base_url.rstrip("/")
        self._client = client
        named = {header: value for header, value in headers.items() if value}
        self._headers = {**credential.headers, **named}
        self._scrub = Scrubber(credential.secrets)
        self._signed = bool(credential.secrets)

    # What an adapter says.

    @abstractmethod
    def url(self, operation: Operation, model: str) -> str:
        """Where a call is posted."""

    @abstractmethod
    async def body(self, request: ImageRequest) -> Upload:
        """What is posted. Raises :class:`ProviderError` (not_sent)."""

    async def sign(
        self, method: str, url: str, headers: Mapping[str, str], upload: Upload | None
    ) -> Mapping[str, str]:
        """``headers`` with what proves who calls, where that is more than a fixed key. Raises
        :class:`ProviderError` (not_sent)."""
        return headers

    @abstractmethod
    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        """The meaning of an answer that is not 2xx; ``body`` is empty where it did not come whole."""

    @abstractmethod
    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        """The meaning of a 2xx answer, whose body has not been read. Raises :class:`ProviderError`."""

    @abstractmethod
    def models_url(self) -> str:
        """What may be asked for free to see whether the account is there."""

    @abstractmethod
    def probed(self, status: int, body: bytes) -> Probe:
        """What the answer to that says."""

    # What is the same everywhere.

    async def send(
        self, request: ImageRequest, deadline: float, *, patience: float | None = None
    ) -> ImageResult:
        """See :class:`providers.base.Provider`."""
        now = asyncio.get_running_loop().time()
        ends_at = now + deadline
        starts_by = ends_at if patience is None else now + min(patience, deadline)
        async with AsyncExitStack() as held:
            accept = "text/event-stream" if request.stream else "application/json"
            url, upload = self.url(request.operation, request.model), await self.body(request)
            reply = await self._client.send(
                "POST",
                url,
                await self.sign("POST", url, {**self._headers, "accept": accept}, upload),
                upload=upload,
                ends_at=ends_at,
                starts_by=starts_by,
                provider=self.name,
            )
            held.push_async_callback(reply.aclose)
            if not 200 <= reply.status < 300:
                said = await _words(reply)
                raise self.refused(reply.status, reply.headers, said, request.prompt)
            result = self.result(reply, request)
            result.aclose = held.pop_all().aclose
            return result

    def content_type(self, reply: Reply, *accepted: str) -> str:
        """The answer's media type, which must be one of ``accepted``. A host that leaves the header out is
        given the benefit of the doubt: the first of them."""
        kind = reply.headers.get("content-type", accepted[0]).partition(";")[0].strip().lower()
        if kind.endswith("+json"):
            kind = "application/json"
        encoding = reply.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            what = "was compressed, although that was not asked for"
        elif kind in accepted:
            return kind
        else:
            what = f"is {kind[:64]!r} and not JSON; check the provider's base_url"
        raise ProviderError(
            Kind.BAD_PAYLOAD,
            Certainty.ANSWERED,
            f"The answer of provider '{self.name}' {what}.",
            status=reply.status,
            upstream_request_id=request_id(reply.headers),
        )

    async def probe(self) -> Probe:
        """One GET, free of charge."""
        ends_at = asyncio.get_running_loop().time() + _PROBE_SECONDS
        host = urlsplit(self.base_url).hostname
        url = self.models_url()
        try:
            signed = await self.sign("GET", url, {**self._headers, "accept": "application/json"}, None)
        except ProviderError as error:
            return Probe(reachable=None, detail=error.message)
        try:
            reply = await self._client.send("GET", url, signed, ends_at=ends_at, provider=self.name)
        except ProviderError as error:
            return Probe(reachable=False, detail=f"{error.message} ({host})")
        try:
            body = await reply.read(_PROBE_BODY)
        except ProviderError as error:
            return Probe(reachable=True, detail=f"{error.message} ({host})")
        finally:
            await reply.aclose()
        if reply.status in (401, 403):
            return Probe(
                reachable=True, key_accepted=False, detail=f"HTTP {reply.status}: the key was refused"
            )
        return self.probed(reply.status, body)

    async def aclose(self) -> None:
        if self.owns_client:
            await self._client.aclose()


async def _words(reply: Reply) -> bytes:
    """A refusal's body. Where it did not come whole the status alone must do: such words prove nothing."""
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            return await reply.read(_ERROR_BODY)
    except (TimeoutError, ProviderError):
        return b""
