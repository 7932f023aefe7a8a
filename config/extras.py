"""Which optional packages a configuration needs that are not installed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from config.accounts.bedrock import BedrockProvider
from config.accounts.google import VertexProvider
from config.accounts.kinds import ProviderSettings
from config.findings import Location
from config.schema import Settings

_PACKAGES: Mapping[str, str] = {
    "bedrock": "botocore",
    "vertex": "google.auth",
    "postgres": "asyncpg",
    "storage": "obstore",
}
"""An extra, and the module that comes with it."""


def missing_extras(settings: Settings) -> list[tuple[Location, str]]:
    """Location and what to install, in the order of the YAML. A database that is named by a reference is not
    looked at: its address may be another one where the gateway will run."""
    return [
        (location, f"{what} the extra '{extra}', which is not here: pip install 'imagegate[{extra}]'")
        for location, what, extra in _needed(settings)
        if not _is_installed(_PACKAGES[extra])
    ]


def _needed(settings: Settings) -> Iterator[tuple[Location, str, str]]:
    for name, account in settings.providers.items():
        for what, extra in _of_account(account):
            yield ("providers", name, "type"), what, extra
    if settings.storage.database.startswith("postgres"):
        yield ("storage", "database"), "PostgreSQL needs", "postgres"
    if settings.storage.media.startswith("s3://"):
        yield ("storage", "media"), "an S3 bucket needs", "storage"


def _of_account(account: ProviderSettings) -> Iterator[tuple[str, str]]:
    if isinstance(account, BedrockProvider) and account.api_key is None:
        yield "signed calls to Bedrock need", "bedrock"
    if isinstance(account, VertexProvider) and account.access_token is None:
        yield "calls to Google Cloud without an access_token need", "vertex"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
