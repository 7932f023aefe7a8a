"""One version of the configuration before it serves: all that is made of settings alone, and may fail.

What did not change since the version before is taken over from it: connections, and the guarded fetch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from config.catalog import Catalog
from config.loader import Loaded
from config.own_catalog import catalog_of
from config.references import Seen, seen
from config.schema import Settings
from gateway.app.accounts import Accounts, accounts_of
from gateway.app.retirement import Closable
from gateway.engine.returning import Told, told_of
from gateway.engine.upstreams import Lines
from gateway.engine.webhook import Webhook, signing_key
from gateway.quota.of_settings import LimitBook
from gateway.routing import directory
from gateway.routing.directory import ModelDirectory
from gateway.routing.policy import Policy, compiled
from providers.guarded import GuardedFetch
from providers.http import UpstreamClient


@dataclass(frozen=True, slots=True)
class Draft:
    """``secrets`` is what its references led to when it was made, ``authorities`` tells what its certificate
    authorities were."""

    loaded: Loaded
    secrets: Seen
    authorities: bytes | None
    catalog: Catalog
    client: UpstreamClient
    fetch: GuardedFetch
    accounts: Accounts
    directory: ModelDirectory
    book: LimitBook
    policy: Policy
    messenger: Webhook | None
    told: Told
    metrics_token: str | None

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def parts(self) -> list[Closable]:
        """What is to be closed, in this order."""
        return [*self.accounts.usable.values(), self.fetch, self.client]

    def without(self, kept: Draft) -> list[Closable]:
        """What is of no use once nothing but ``kept`` serves."""
        still = {id(part) for part in kept.parts}
        return [part for part in self.parts if id(part) not in still]


def draft(loaded: Loaded, lines: Lines, before: Draft | None = None) -> Draft:
    """Raises :class:`config.secrets.SecretMissing`, ValueError and OSError with words for the operator; then
    nothing has changed."""
    settings = loaded.settings
    secrets = seen(settings, loaded.base)
    catalog = catalog_of(settings)
    token = settings.server.metrics_token
    metrics_token = None if token is None else token.resolve(loaded.base).reveal()
    trusted = authorities(loaded)
    is_same = before is not None and (before.settings.upstream, before.authorities) == (
        settings.upstream,
        trusted,
    )
    if before is not None and is_same:
        client = before.client
    else:
        client = UpstreamClient(settings.upstream, base=loaded.base)
    if before is not None and is_same and before.settings.media.fetch == settings.media.fetch:
        fetch = before.fetch
    else:
        fetch = GuardedFetch(settings.media.fetch, settings.upstream, base=loaded.base)
    accounts = accounts_of(loaded, secrets, client, lines, before.accounts if before else Accounts())
    return Draft(
        loaded=loaded,
        secrets=secrets,
        authorities=trusted,
        catalog=catalog,
        client=client,
        fetch=fetch,
        accounts=accounts,
        directory=directory.build(settings, catalog, accounts.unusable),
        book=LimitBook(settings, catalog),
        policy=compiled(settings),
        messenger=_messenger(loaded, client),
        told=told_of(settings, loaded.base, fetch),
        metrics_token=metrics_token,
    )


def provider_types(settings: Settings) -> Mapping[str, str]:
    return {name: account.type for name, account in settings.providers.items()}


def authorities(loaded: Loaded) -> bytes | None:
    """What tells the file of certificate authorities from another one of the same name."""
    name = loaded.settings.upstream.ca_file
    if name is not None:
        with suppress(OSError):  # whoever reads it for use says what is wrong
            return sha256((loaded.base / name).read_bytes()).digest()
    return None


def _messenger(loaded: Loaded, client: UpstreamClient) -> Webhook | None:
    """Where alerts of limits go besides the log."""
    organization = loaded.settings.organization
    if organization.alerts is None:
        return None
    key = signing_key(organization.alerts.secret.resolve(loaded.base).reveal())
    return Webhook(client, organization.alerts.webhook, key, organization=organization.name)
