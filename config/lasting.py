"""Which settings hold for the life of a process, and which a running gateway takes over.

What is opened once, or what everything else stands on, waits for a restart: sockets, the ledger, counters,
the secret of keys. All other settings follow the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config.findings import Location
from config.problems import render_path
from config.references import references
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import without_login

LASTING: tuple[Location, ...] = (
    ("server", "host"),
    ("server", "port"),
    ("server", "secret"),
    ("server", "max_connections"),
    ("organization", "timezone"),
    ("spool",),
    ("storage",),
    ("media", "keep"),
    ("media", "link_lifetime"),
    ("media", "max_total"),
    ("media", "sweep_every"),
    ("media", "s3"),
    ("telemetry", "otlp"),
    ("telemetry", "sample"),
    ("telemetry", "trust_traceparent"),
)
"""A setting, or a section with all that is in it."""


def with_lasting(new: Settings, running: Settings) -> Settings:
    """``new`` with everything that lasts as it is in ``running``."""
    for location in LASTING:
        new = _replaced(new, location, _at(running, location))
    return new


Lasting = Mapping[Location, bytes]
"""Hashes of the secrets that last, by where their references stand. Never shown, never logged."""

_LOGINS = frozenset({("storage", "database"), ("storage", "quota")})
"""URLs whose user and password are asked for at each connection, and may change."""

_ASKED_FOR = frozenset({("media", "s3", "access_key_id"), ("media", "s3", "secret_access_key")})
"""Asked for at each request."""


def lasting_secrets(settings: Settings, base: Path) -> Lasting:
    """What the references of settings that last lead to now; without those that lead nowhere."""
    found: dict[Location, bytes] = {}
    for location, reference in references(settings):
        if _lasts(location) and location not in _ASKED_FOR:
            with suppress(SecretMissing):
                value = reference.resolve(base).reveal()
                kept = without_login(value) if location in _LOGINS else value
                found[location] = blake2b(kept.encode(), digest_size=16).digest()
    return found


def waiting(new: Settings, running: Settings, now: Lasting, at_start: Lasting) -> list[str]:
    """The settings of ``new`` that wait for a restart, by their paths; ``now`` and ``at_start`` are their
    secrets."""
    found = {
        render_path(path)
        for location in LASTING
        for path in _differences(_at(new, location), _at(running, location), location)
    }
    found |= {render_path(path) for path in now.keys() & at_start.keys() if now[path] != at_start[path]}
    return sorted(found)


def _lasts(path: Location) -> bool:
    return any(path[: len(location)] == location for location in LASTING)


def _at(settings: BaseModel, location: Location) -> Any:
    value: Any = settings
    for step in location:
        value = getattr(value, str(step))
    return value


def _replaced(model: Any, location: Location, value: object) -> Any:
    step, *rest = location
    if rest:
        value = _replaced(getattr(model, str(step)), tuple(rest), value)
    return model.model_copy(update={str(step): value})


def _differences(one: object, other: object, path: Location) -> Iterator[Location]:
    if one == other:
        return
    if isinstance(one, BaseModel) and type(one) is type(other):
        for name in type(one).model_fields:
            yield from _differences(getattr(one, name), getattr(other, name), (*path, name))
    else:
        yield path
