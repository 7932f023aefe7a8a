"""From a request's key to a :class:`Caller`.

Keys declared in the configuration are known by their sha256, stored keys by an HMAC under the gateway's
secret: nothing here can be turned back into a key. Unknown, revoked and expired keys get one and the same
answer after the same look-up. Answers of the store are kept for :data:`REMEMBERED` seconds, which is how long
a revoked key may live on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Protocol

import structlog

from config.normalization import ProjectNormalizationSettings
from config.organization import KeySettings, ProjectSettings
from config.schema import Settings
from config.secrets import SecretMissing
from gateway.api.failed_keys import FailedKeys
from gateway.caller import Caller
from gateway.errors import GatewayError, Unauthenticated
from gateway.ledger import keyformat
from gateway.ledger.keys import KeyRecord
from gateway.quota.of_settings import declared_key_id

REMEMBERED = 5.0
"""Seconds for which an answer of the key store is believed, a refusal included."""

_CACHE_SIZE = 10_000
_LONGEST_KEY = 512  # characters; anything longer is no key and is not worth hashing
_WHERE = "Keys come from the operator of this gateway, who makes them with `imagegate keys create`."
_log = structlog.get_logger("imagegate.auth")


class KeyFinder(Protocol):
    """What the ledger's KeyStore offers to authentication."""

    async def find(self, digest: str) -> KeyRecord | None: ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    caller: Caller | None
    expires_at: datetime | None = None


class Authenticator:
    """``pepper`` is the secret under which stored keys are hashed, ``base`` the folder that relative
    ``file:`` references start from, ``failed`` what is known of addresses that were wrong before."""

    def __init__(
        self,
        settings: Settings,
        keystore: KeyFinder,
        pepper: bytes,
        base: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = monotonic,
        failed: FailedKeys | None = None,
    ) -> None:
        self._keystore = keystore
        self._pepper = pepper
        self._clock = clock
        self._failed = failed or FailedKeys(clock)
        self._projects = {project.project_id: project for project in settings.organization.projects}
        self._tags = frozenset(settings.organization.tags)
        self._declared: dict[str, Caller] = {}
        self._remembered: dict[str, _Remembered] = {}
        for project in settings.organization.projects:
            for key in project.keys:
                digest = _declared_digest(key, base, environ)
                if digest is not None:
                    self._declared[digest] = _declared_caller(project, key, self._tags)

    async def authenticate(self, headers: Mapping[bytes, bytes], address: str) -> Caller:
        """``headers`` have lower-case names; ``address`` is the client's. Raises :class:`Unauthenticated`, or
        429 where this address has been wrong too often."""
        key = _key_of(headers)
        if key is None:
            raise _no_key()
        if len(key) > _LONGEST_KEY:
            raise self._refusal(key, address)
        digest = sha256(key.encode()).hexdigest()
        declared = self._declared.get(digest)
        if declared is not None:
            return declared
        if not keyformat.well_formed(key):
            self._hold_back(address)
            raise self._refusal(key, address)
        return await self._stored(key, address)

    async def _stored(self, key: str, address: str) -> Caller:
        digest = keyformat.digest(key, self._pepper)
        known = self._remembered.get(digest)
        if known is None or known.until < self._clock():
            # A key that was right a moment ago is not made to wait for what others at its address do wrong.
            if known is None or known.caller is None:
                self._hold_back(address)
            record = await self._keystore.find(digest)
            known = self._remember(digest, record)
            if known.caller is None:
                raise self._refusal(key, address, record.id if record is not None else None)
        if known.caller is None:
            # The same wrong key again within seconds: a script in a loop, not somebody who guesses.
            raise _wrong_key(key)
        if _is_past(known.expires_at):
            raise self._refusal(key, address, known.caller.key_id)
        return known.caller

    def _remember(self, digest: str, record: KeyRecord | None) -> _Remembered:
        usable = record is not None and record.revoked_at is None and not _is_past(record.expires_at)
        known = _Remembered(
            self._clock() + REMEMBERED,
            self._caller(record) if record is not None and usable else None,
            record.expires_at if record is not None else None,
        )
        self._remembered.pop(digest, None)
        if len(self._remembered) >= _CACHE_SIZE:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = known
        return known

    def _caller(self, record: KeyRecord) -> Caller:
        project = self._projects.get(record.project_id)
        return Caller(
            key_id=record.id,
            key_name=record.name,
            project_id=record.project_id,
            project_name=project.name if project else record.project_id,
            models=_narrowed(project.models if project else None, record.models),
            project_limits=tuple(project.limits) if project else (),
            end_user_header=_lower(project.end_user_header) if project else None,
            tags=self._tags | frozenset(project.tags) if project else self._tags,
            labels=project.labels if project else {},
            external_key_id=project.external_key_id if project else None,
            normalization=project.normalization if project else ProjectNormalizationSettings(),
            providers_header=tuple(project.providers_header) if project else (),
            drills=project.drills if project else False,
        )

    def _hold_back(self, address: str) -> None:
        wait = self._failed.wait(address)
        if wait > 0:
            raise GatewayError(
                "Too many requests with a wrong API key came from your address. Correct the key, then try "
                "again.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retryable=False,
                retry_after=wait,
            )

    def _refusal(self, key: str, address: str, key_id: str | None = None) -> Unauthenticated:
        """The one answer; the log alone is told whose key it was, where it was ever one."""
        self._failed.count(address)
        hashed = sha256(address.encode()).hexdigest()[:16]
        _log.info("key_refused", address_hash=hashed, key_id=key_id)
        return _wrong_key(key)


def _key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """``Authorization: Bearer KEY``, or Azure's ``api-key: KEY``."""
    scheme, _, credentials = headers.get(b"authorization", b"").strip().partition(b" ")
    raw = credentials.strip() if scheme.lower() == b"bearer" else b""
    key = (raw or headers.get(b"api-key", b"").strip()).decode("latin-1")
    return key or None


def _declared_digest(key: KeySettings, base: Path | None, environ: Mapping[str, str] | None) -> str | None:
    if key.sha256 is not None:
        return key.sha256
    if key.key is None:
        return None
    try:
        return sha256(key.key.resolve(base, environ).reveal().encode()).hexdigest()
    except SecretMissing as missing:
        _log.warning("declared_key_missing", key=key.name, source=missing.source)
        return None


def _declared_caller(project: ProjectSettings, key: KeySettings, tags: frozenset[str]) -> Caller:
    owner = project.project_id
    return Caller(
        key_id=declared_key_id(owner, key.name),
        key_name=key.name,
        project_id=owner,
        project_name=project.name,
        models=_narrowed(project.models, key.models),
        key_limits=tuple(key.limits),
        project_limits=tuple(project.limits),
        end_user_header=_lower(project.end_user_header),
        tags=tags | frozenset(project.tags),
        labels=project.labels,
        external_key_id=key.external_key_id or project.external_key_id,
        normalization=project.normalization,
        providers_header=tuple(project.providers_header),
        drills=project.drills,
    )


def _lower(header: str | None) -> str | None:
    return None if header is None else header.lower()


def _narrowed(project: list[str] | None, key: list[str] | None) -> frozenset[str] | None:
    if project is None or key is None:
        names = project if key is None else key
        return None if names is None else frozenset(names)
    return frozenset(project) & frozenset(key)


def _is_past(moment: datetime | None) -> bool:
    return moment is not None and moment <= datetime.now(UTC)


def _no_key() -> Unauthenticated:
    return Unauthenticated(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        f"Bearer auth (i.e. Authorization: Bearer YOUR_KEY). {_WHERE}",
        headers={"www-authenticate": 'Bearer realm="OpenAI API"'},
    )


def _wrong_key(key: str) -> Unauthenticated:
    return Unauthenticated(
        f"Incorrect API key provided: {masked(key)}. {_WHERE}",
        code="invalid_api_key",
        headers={"www-authenticate": 'Bearer realm="OpenAI API"'},
    )


def masked(key: str) -> str:
    """As OpenAI shows it: a long key keeps its first 8 and last 4 characters, a short one nothing."""
    if len(key) < 24 or not key.isascii() or not key.isprintable():
        return "*" * min(len(key), 12)
    return f"{key[:8]}{'*' * min(len(key) - 12, 32)}{key[-4:]}"
