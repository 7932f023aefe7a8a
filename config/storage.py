"""Where the gateway keeps its things: the data folder, and the database's address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from config.schema import Settings, StorageSettings
from config.secrets import SecretRef

_DATA: str = StorageSettings.model_fields["data"].default


def follow_data_folder(settings: Settings) -> Settings:
    """With ``storage.data`` set, the database and the secret are in that folder unless they were set too."""
    return _moved(settings, _DATA, settings.storage.data)


def with_data_folder(settings: Settings, folder: Path) -> Settings:
    """The settings with ``folder`` as the data folder, and the database and the secret in it unless they were
    set. A relative ``folder`` starts from the working folder, as on a command line."""
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
    :class:`config.secrets.SecretMissing`. The result may hold a password: never log it."""
    written = settings.storage.quota
    if written.startswith(("env:", "file:")):
        written = SecretRef(written).resolve(base, environ).reveal()
    return None if written == "local" else written


def _moved(settings: Settings, before: str, folder: str) -> Settings:
    storage, server = settings.storage, settings.server
    database, secret = storage.database, server.secret
    if database == _database(before):
        database = _database(folder)
    if secret == _secret(before):
        secret = _secret(folder)
    return settings.model_copy(
        update={
            "storage": storage.model_copy(update={"data": folder, "database": database}),
            "server": server.model_copy(update={"secret": secret}),
        }
    )


def _database(folder: str) -> str:
    return f"sqlite:///{folder}/imagegate.db"


def _secret(folder: str) -> SecretRef:
    return SecretRef(f"file:{folder}/secret")
