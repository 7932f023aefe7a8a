"""Access tokens of Google Cloud, through google-auth (the extra ``vertex``), which blocks and therefore works
in a thread.

What it asks over TLS goes through the gateway's one upstream client, with its proxy and its certificate
authorities; the metadata server, which is plain HTTP on the machine's own link, is asked directly.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from providers.base import Certainty, Kind, ProviderError
from providers.extras import ExtraMissing
from providers.http import UpstreamClient
from providers.upload import Upload

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 20.0
"""For a new token, all its requests together."""

_ONE_REQUEST = 10.0
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Token:
    """``quota_project`` is what user credentials are billed to, where they name a project of their own."""

    value: str
    quota_project: str | None = None


class CloudCredentials:
    """A service account's key, else Application Default Credentials: found at the first call, and asked for a
    new token before the old one ends."""

    def __init__(self, provider: str, client: UpstreamClient, service_account_key: str | None = None) -> None:
        """``service_account_key`` is the JSON of a key file. Raises :class:`ExtraMissing` where google-auth
        is not installed, ValueError where the key is none."""
        try:
            self._auth = importlib.import_module("google.auth")
            self._errors = importlib.import_module("google.auth.exceptions")
        except ImportError:
            raise ExtraMissing("calls to Google Cloud without an access_token", "vertex") from None
        self._provider = provider
        self._client = client
        self._found: Any = None
        self._turn = asyncio.Lock()
        if service_account_key is not None:
            self._found = self._of_key(service_account_key)

    def _of_key(self, text: str) -> Any:
        accounts = importlib.import_module("google.oauth2.service_account")
        try:
            return accounts.Credentials.from_service_account_info(msgspec.json.decode(text), scopes=[SCOPE])
        except (msgspec.DecodeError, self._errors.GoogleAuthError, ValueError, TypeError, AttributeError):
            # The library's own words may repeat parts of the key.
            raise ValueError(
                f"providers.{self._provider}.service_account_key holds no JSON key of a service account"
            ) from None

    async def token(self) -> Token:
        """Raises :class:`ProviderError` (not_sent)."""
        async with self._turn:
            fresh = importlib.import_module("google.auth.credentials").TokenState.FRESH
            if self._found is None or self._found.token_state is not fresh:
                await self._renew()
            return Token(self._found.token, getattr(self._found, "quota_project_id", None))

    async def _renew(self) -> None:
        transport = _Transport(self._provider, self._client, self._errors.TransportError)
        try:
            async with asyncio.timeout(SECONDS):
                await asyncio.to_thread(self._ask, transport)
        except TimeoutError:
            raise self._none(Kind.TIMEOUT, "no token came in time") from None
        except self._errors.TransportError:
            raise self._none(Kind.SERVER, "Google's token service could not be reached") from None
        except self._errors.DefaultCredentialsError:
            what = "there are no Application Default Credentials; name a service_account_key"
            raise self._none(Kind.AUTH, what) from None
        except (self._errors.GoogleAuthError, ValueError):
            raise self._none(Kind.AUTH, "Google gave no token for these credentials") from None

    def _ask(self, transport: _Transport) -> None:
        found = self._found
        if found is None:
            found, _ = self._auth.default(scopes=[SCOPE], request=transport)
        found.refresh(transport)
        self._found = found

    def _none(self, kind: Kind, what: str) -> ProviderError:
        text = f"The call to provider '{self._provider}' was not sent: {what}."
        return ProviderError(kind, Certainty.NOT_SENT, text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What google-auth expects of an answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Transport:
    """What google-auth calls from its thread."""

    def __init__(self, provider: str, client: UpstreamClient, failed: Callable[[str], Exception]) -> None:
        self._provider = provider
        self._client = client
        self._failed = failed
        self._loop = asyncio.get_running_loop()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Answer:
        seconds = min(timeout or _ONE_REQUEST, _ONE_REQUEST)
        try:
            if url.startswith("http://"):
                return _directly(url, method, body, headers or {}, seconds)
            asked = self._over_tls(url, method, body, headers or {}, seconds)
            return asyncio.run_coroutine_threadsafe(asked, self._loop).result(seconds + 1)
        except (OSError, http.client.HTTPException, ProviderError) as error:
            raise self._failed(type(error).__name__) from error

    async def _over_tls(
        self, url: str, method: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> _Answer:
        sent = {name.lower(): value for name, value in headers.items()}
        upload = None
        if body is not None:
            upload = Upload(sent.pop("content-type", "application/octet-stream"), [body])
        ends_at = self._loop.time() + seconds
        reply = await self._client.send(
            method, url, sent, ends_at=ends_at, provider=self._provider, upload=upload
        )
        try:
            return _Answer(reply.status, reply.headers, await reply.read(_MOST))
        finally:
            await reply.aclose()


def _directly(
    url: str, method: str, body: bytes | None, headers: Mapping[str, str], seconds: float
) -> _Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
    try:
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return _Answer(answer.status, named, answer.read(_MOST))
    finally:
        connection.close()
