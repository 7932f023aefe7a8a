"""A provider that speaks OpenAI's dialect: everything but the account's own addresses and headers.

The answer's bytes pass through untouched. Only headers of our own go upstream; nothing a client sent is
copied. The adapters (openai.py, azure.py, openai_compatible.py) say where to send and how to sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import msgspec

from config.secrets import Secret, SecretRef
from providers.admission import Admission
from providers.base import Certainty, ImageRequest, ImageResult, Kind, Operation, Probe, ProviderError
from providers.http import Reply, UpstreamClient
from providers.openai_bodies import body_of
from providers.openai_errors import refusal, request_id
from providers.scrub import Scrubber
from providers.upload import Upload

_ERROR_BODY = 64 * 1024
_ERROR_SECONDS = 10.0
"""A refusal's status is known at once; its words are worth waiting for this long."""

_PROBE_BODY = 4 * 2**20
_PROBE_SECONDS = 10.0

_KEPT_HEADERS = ("openai-processing-ms", "openai-version", "content-length")
_KEPT_PREFIX = "x-ratelimit-"


class _Model(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Model] = []


Resolve = Callable[[SecretRef], Secret]
"""How an adapter gets the value behind a reference; raises config.secrets.SecretMissing."""


class OpenAIDialect:
    """The common part. ``headers`` sign a call and name the account; ``secrets`` never leave in a message."""

    type: str
    unforwarded: frozenset[str] = frozenset({"response_format"})
    """Fields that are ours alone: OpenAI's own models answer 400 to ``response_format``."""

    def __init__(
        self,
        name: str,
        client: UpstreamClient,
        *,
        base_url: str,
        headers: Mapping[str, str],
        secrets: Collection[str] = (),
        max_in_flight: int | None = None,
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
        self._headers = dict(headers)
        self._scrub = Scrubber(secrets)
        self._signed = bool(secrets)
        self._admission = Admission(max_in_flight)

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/images/{operation}"

    def models_url(self) -> str:
        return f"{self.base_url}/models"

    def params(self, request: ImageRequest) -> dict[str, object]:
        """The fields of the body beside prompt and pictures."""
        kept = {name: value for name, value in request.params.items() if name not in self.unforwarded}
        return {"model": request.model, **kept}

    async def send(
        self, request: ImageRequest, deadline: float, *, patience: float | None = None
    ) -> ImageResult:
        """See :class:`providers.base.Provider`."""
        now = asyncio.get_running_loop().time()
        ends_at = now + deadline
        async with AsyncExitStack() as held:
            starts_by = ends_at if patience is None else now + min(patience, deadline)
            await held.enter_async_context(self._admission.place(starts_by, self.name))
            accept = "text/event-stream" if request.stream else "application/json"
            reply = await self._client.send(
                "POST",
                self.url(request.operation, request.model),
                {**self._headers, "accept": accept},
                upload=await self._body(request),
                ends_at=ends_at,
                provider=self.name,
            )
            held.push_async_callback(reply.aclose)
            if not 200 <= reply.status < 300:
                raise await self._refused(reply, request.prompt)
            return ImageResult(
                body=reply.body,
                content_type=self._content_type(reply, request.stream),
                upstream_request_id=request_id(reply.headers),
                headers=_kept(reply.headers),
                scrub=self._scrub,
                aclose=held.pop_all().aclose,
            )

    async def _body(self, request: ImageRequest) -> Upload:
        try:
            return await body_of(request, self.params(request))
        except (UnicodeEncodeError, TypeError) as error:
            # JSON can spell lone surrogates, and those have no UTF-8.
            raise ProviderError(
                Kind.INVALID,
                Certainty.NOT_SENT,
                "The request holds text that is not valid Unicode.",
                status=400,
                type="invalid_request_error",
                code="invalid_unicode",
            ) from error

    async def _refused(self, reply: Reply, prompt: str) -> ProviderError:
        body = b""
        try:
            async with asyncio.timeout(_ERROR_SECONDS):
                body = await reply.read(_ERROR_BODY)
        except (TimeoutError, ProviderError):
            # The status alone must do; an envelope that did not come whole proves nothing.
            body = b""
        return refusal(
            reply.status, reply.headers, body, provider=self.name, scrub=self._scrub, prompt=prompt
        )

    def _content_type(self, reply: Reply, stream: bool) -> str:
        """JSON, or events where they were asked for. A host that leaves the header out is given the benefit
        of the doubt: the gateway looks into the body anyway."""
        kind = reply.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        encoding = reply.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            what = "was compressed, although that was not asked for"
        elif kind == "application/json" or kind.endswith("+json"):
            return "application/json"
        elif kind == "text/event-stream" and stream:
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
        """``GET /models``: free everywhere."""
        ends_at = asyncio.get_running_loop().time() + _PROBE_SECONDS
        host = urlsplit(self.base_url).hostname
        try:
            reply = await self._client.send(
                "GET",
                self.models_url(),
                {**self._headers, "accept": "application/json"},
                ends_at=ends_at,
                provider=self.name,
            )
        except ProviderError as error:
            return Probe(reachable=False, detail=f"{error.message} ({host})")
        try:
            return _probed(reply.status, await reply.read(_PROBE_BODY), self._signed)
        except ProviderError as error:
            return Probe(reachable=True, detail=f"{error.message} ({host})")
        finally:
            await reply.aclose()

    async def aclose(self) -> None:
        if self.owns_client:
            await self._client.aclose()


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX)
    }


def _probed(status: int, body: bytes, signed: bool) -> Probe:
    if status in (401, 403):
        return Probe(reachable=True, key_accepted=False, detail=f"HTTP {status}: the key was refused")
    if status != 200:
        return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
    try:
        models = tuple(model.id for model in msgspec.json.decode(body, type=_ModelList).data)
    except msgspec.DecodeError:
        return Probe(reachable=True, detail="the list of models is not in OpenAI's form; check base_url")
    return Probe(reachable=True, key_accepted=True if signed else None, models=models)
