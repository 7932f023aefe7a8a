"""Which names clients may send, as far as the file and the catalog say."""

from __future__ import annotations

from collections.abc import Mapping

from config.accounts.kinds import ProviderSettings
from config.catalog import Catalog
from config.schema import Settings


def public_models(settings: Settings, catalog: Catalog) -> list[str]:
    """The declared models, or without ``models:`` every id and alias that the providers serve."""
    if settings.models is not None:
        return list(settings.models)
    return served_names(settings.providers, catalog)


def served_names(providers: Mapping[str, ProviderSettings], catalog: Catalog) -> list[str]:
    names: dict[str, None] = {}
    for account in providers.values():
        for entry in catalog.served_by(account.type):
            names |= dict.fromkeys((entry.id, *entry.aliases))
    return list(names)
