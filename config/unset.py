"""Which secrets a configuration refers to that do not exist here and now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from config.findings import Location
from config.schema import Settings
from config.secrets import SecretMissing, SecretRef


def unset_secrets(
    settings: Settings, base: Path, environ: Mapping[str, str] | None = None
) -> list[tuple[Location, str]]:
    """Location and reason, in the order of the schema. The server's own secret is not among them when it is
    a file: it is made at the first start."""
    missing: list[tuple[Location, str]] = []
    for location, reference in _references(settings, ()):
        if location == ("server", "secret") and reference.scheme == "file":
            continue
        try:
            reference.resolve(base, environ)
        except SecretMissing as error:
            missing.append((location, str(error)))
    return missing


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
