"""Every reference to a secret that a configuration makes, wherever it stands, and what it leads to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

from pydantic import BaseModel

from config.findings import Location
from config.schema import Settings
from config.secrets import SecretMissing, SecretRef
from config.sources import Sources

Seen = Mapping[Location, tuple[str, bytes | None]]
"""By where it stands: the reference as written, and the hash of what it leads to, None where that is
nothing. Never shown, never logged."""


def references(settings: Settings) -> Iterator[tuple[Location, SecretRef]]:
    """Where each stands, in the order of the schema."""
    yield from _references(settings, ())


def secret_files(settings: Settings, base: Path) -> Sources:
    """The files that hold secrets, and the certificate authorities."""
    named = [found.source for _, found in references(settings) if found.scheme == "file"]
    if settings.upstream.ca_file is not None:
        named.append(settings.upstream.ca_file)
    return Sources(frozenset(os.path.abspath(base / name) for name in named))


def seen(settings: Settings, base: Path, environ: Mapping[str, str] | None = None) -> Seen:
    """What the references lead to now."""
    return {location: (found.text, _hash(found, base, environ)) for location, found in references(settings)}


def _hash(found: SecretRef, base: Path, environ: Mapping[str, str] | None) -> bytes | None:
    try:
        return blake2b(found.resolve(base, environ).reveal().encode(), digest_size=16).digest()
    except SecretMissing:
        return None


def _references(value: object, location: Location) -> Iterator[tuple[Location, SecretRef]]:
    if isinstance(value, SecretRef):
        yield location, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name == "api_key" and getattr(value, "api_keys", None):
                continue  # the first of them
            yield from _references(getattr(value, name), (*location, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _references(item, (*location, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*location, index))
    elif location in (("storage", "database"), ("storage", "quota")) and str(value).startswith(
        ("env:", "file:")
    ):
        yield location, SecretRef(str(value))
