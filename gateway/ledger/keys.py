"""API keys made at run time. The key itself is never stored: its HMAC is, under ``server.secret``."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from gateway.errors import InvalidRequest
from gateway.ledger.keyformat import digest, new_key, redact
from gateway.ledger.store import Store, write
from gateway.ledger.tables import api_keys, requests

LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it may be shown. ``models`` None: every model of its project. ``last_used_at`` is when the
    newest recorded request under it was received."""

    id: str
    project_id: str
    name: str
    redacted: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    models: list[str] | None = None


KeyRecords = list[KeyRecord]


class KeyStore:
    """Key rows in the ledger's database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self,
        *,
        name: str,
        project_id: str,
        pepper: bytes,
        expires_at: datetime | None = None,
        models: Sequence[str] | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key: its record and the key, which cannot be had again. Raises :class:`InvalidRequest`."""
        now = datetime.now(UTC)
        _check_text("name", name)
        _check_text("project_id", project_id)
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("'expires_at' lies in the past; give a moment to come.", param="expires_at")
        if models is not None and not models:
            raise InvalidRequest(
                "'models' is empty; name at least one model or leave it out.", param="models"
            )
        for model in models or ():
            _check_text("models", model)
        key = new_key()
        record = KeyRecord(
            id=f"key_{secrets.token_hex(12)}",
            project_id=project_id,
            name=name,
            redacted=redact(key),
            created_at=now,
            expires_at=expires_at,
            models=None if models is None else list(models),
        )
        row = {
            "key_id": record.id,
            "project_id": record.project_id,
            "name": record.name,
            "digest": digest(key, pepper),
            "redacted": record.redacted,
            "models": None if record.models is None else json.dumps(record.models),
            "created_at": record.created_at,
            "expires_at": record.expires_at,
        }
        await write(self._store, lambda connection: connection.execute(api_keys.insert(), row))
        return record, key

    async def find(self, digest: str) -> KeyRecord | None:
        """The key with this digest, whatever its state: revoked and expired ones are found too."""
        query = _select().add_columns(api_keys.c.digest).where(api_keys.c.digest == digest)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        # The index has compared byte by byte; what it found is compared once more, in constant time.
        if row is None or not hmac.compare_digest(row.digest.encode(), digest.encode()):
            return None
        return _record(row)

    async def list(self) -> KeyRecords:
        """All keys, revoked ones too, oldest first."""
        query = _select().order_by(api_keys.c.created_at, api_keys.c.key_id)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def revoke(self, id: str) -> KeyRecord | None:
        """End a key for good; None where there is none. A revoked key keeps the moment it was revoked
        first."""
        now = datetime.now(UTC)

        def work(connection: Connection) -> Row[Any] | None:
            open_key = (api_keys.c.key_id == id) & api_keys.c.revoked_at.is_(None)
            connection.execute(update(api_keys).where(open_key).values(revoked_at=now))
            return connection.execute(_select().where(api_keys.c.key_id == id)).first()

        row = await write(self._store, work)
        return None if row is None else _record(row)

    async def any(self) -> bool:
        """Whether a key was ever made here, revoked ones included: a start with none makes the first."""
        query = select(api_keys.c.key_id).limit(1)
        return await self._store.read(lambda connection: connection.scalar(query)) is not None


def _check_text(param: str, value: str) -> None:
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise InvalidRequest(
            f"'{param}' must have 1 to {LONGEST_NAME} printable characters.",
            param=param,
            code="invalid_value",
        )


def _select() -> Select[Any]:
    last_used = (
        select(func.max(requests.c.received_at))
        .where(requests.c.key_id == api_keys.c.key_id)
        .scalar_subquery()
        .label("last_used_at")
    )
    return select(
        api_keys.c.key_id,
        api_keys.c.project_id,
        api_keys.c.name,
        api_keys.c.redacted,
        api_keys.c.created_at,
        api_keys.c.expires_at,
        api_keys.c.revoked_at,
        api_keys.c.models,
        last_used,
    )


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        id=row.key_id,
        project_id=row.project_id,
        name=row.name,
        redacted=row.redacted,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        models=None if row.models is None else json.loads(row.models),
    )
