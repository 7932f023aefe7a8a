"""The secret under which keys are digested (``server.secret``), made at the first start where it is a
file."""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path

from config.schema import Settings
from config.secrets import SecretRef


def load_pepper(settings: Settings, base: Path) -> bytes:
    """The bytes of ``server.secret``. A missing ``file:`` one is made: 48 random bytes as base64, readable by
    its owner alone. Losing it makes every key that the gateway made unusable; back it up with the database.

    Raises :class:`config.secrets.SecretMissing` for an ``env:`` one that is not set and for a file that
    cannot be read or is empty, OSError where a missing file cannot be made.
    """
    ref = settings.server.secret
    if ref.scheme == "file":
        _make(ref, base)
    return ref.resolve(base).reveal().encode()


def _make(ref: SecretRef, base: Path) -> None:
    path = base / ref.source
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, base64.b64encode(secrets.token_bytes(48)) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link appears whole or not at all, and never over another start's secret.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
