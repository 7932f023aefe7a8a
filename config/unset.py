"""Which secrets a configuration refers to that do not exist here and now, or are not what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.findings import Location
from config.references import references
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import quota_url


def unset_secrets(
    settings: Settings, base: Path, environ: Mapping[str, str] | None = None
) -> list[tuple[Location, str]]:
    """Location and reason, in the order of the schema. The server's own secret is not among them when it is
    a file: it is made at the first start."""
    missing: list[tuple[Location, str]] = []
    for location, reference in references(settings):
        if location == ("server", "secret") and reference.scheme == "file":
            continue
        try:
            if location == ("storage", "quota"):
                quota_url(settings, base, environ)
            else:
                reference.resolve(base, environ)
        except (SecretMissing, ValueError) as error:
            missing.append((location, str(error).removeprefix("storage.quota: ")))
    return missing
