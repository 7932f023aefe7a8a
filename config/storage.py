"""Where the gateway keeps its things: the data folder, the database's address, the place of media."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.counters import SENTINEL_OPTIONS, counters_address
from config.schema import Settings
from config.secrets import SecretRef
from config.storage_settings import StorageSettings

POSTGRES_OPTIONS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
    "host",
    "port",
    "prepared_statement_cache_size",
)
"""What may stand behind ``?`` in PostgreSQL's address (``gateway/ledger/postgres_url.py``)."""

_DATA: str = StorageSettings.model_fields["data"].default


def follow_data_folder(settings: Settings) -> Settings:
    """With ``storage.data`` set, the database, the secret and the media are in that folder unless they were
    set too."""
    return _moved(settings, _DATA, settings.storage.data)


def with_data_folder(settings: Settings, folder: Path) -> Settings:
    """The settings with ``folder`` as the data folder, and the database, the secret and the media in it
    unless they were set. A relative ``folder`` starts from the working folder, as on a command line."""
    return _moved(settings, settings.storage.data, os.fspath(folder.absolute()))


def database_url(settings: Settings, base: Path, environ: Mapping[str, str] | None = None) -> str:
    """``storage.database`` with ``env:NAME`` or ``file:PATH`` resolved; relative files start from ``base``.
    Raises :class:`config.secrets.SecretMissing`. The result may hold a password: never log it."""
    written = settings.storage.database
    if written.startswith(("env:", "file:")):
        return SecretRef(written).resolve(base, environ).reveal()
    return written


def quota_url(settings: Settings, base: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """Where the counters of limits are, ``env:NAME`` or ``file:PATH`` resolved; None: in the process. Raises
    :class:`config.secrets.SecretMissing`, and ValueError where that is no address of counters. The result may
    hold a password: never log it."""
    written = settings.storage.quota
    if not written.startswith(("env:", "file:")):
        return None if written == "local" else written
    found = SecretRef(written).resolve(base, environ).reveal()
    if found == "local":
        return None
    try:
        counters_address(found)
    except ValueError as wrong:
        raise ValueError(f"storage.quota: what {written} holds cannot be used: {wrong}") from None
    return found


def without_login(url: str) -> str:
    """A database's or a counters' URL without its user and password, and without those of the sentinels."""
    scheme, found, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    path, asked, query = path.partition("?")
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] not in SENTINEL_OPTIONS)
    return f"{scheme}{found}{place.rpartition('@')[2]}{slash}{path}{asked}{kept}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """``s3://NAME/PREFIX``; the prefix has no slash at its ends and may be empty."""

    name: str
    prefix: str


def media_place(written: str, base: Path) -> Path | Bucket:
    """Where ``storage.media`` says that pictures are kept; a relative folder starts from ``base``. Raises
    ValueError with words for the operator."""
    kind, _, place = written.partition(":")
    if kind == "file" and place.strip():
        return base / place.strip()
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9!_.*'()/-]*))?", written)
    if found is None:
        raise ValueError("expected file:FOLDER or s3://BUCKET/PREFIX")
    return Bucket(found[1], (found[2] or "").strip("/"))


def _moved(settings: Settings, before: str, folder: str) -> Settings:
    storage, server = settings.storage, settings.server
    database, secret, media = storage.database, server.secret, storage.media
    if database == _database(before):
        database = _database(folder)
    if secret == _secret(before):
        secret = _secret(folder)
    if media == _media(before):
        media = _media(folder)
    return settings.model_copy(
        update={
            "storage": storage.model_copy(update={"data": folder, "database": database, "media": media}),
            "server": server.model_copy(update={"secret": secret}),
        }
    )


def _database(folder: str) -> str:
    return f"sqlite:///{folder}/imagegate.db"


def _secret(folder: str) -> SecretRef:
    return SecretRef(f"file:{folder}/secret")


def _media(folder: str) -> str:
    return f"file:{folder}/media"
