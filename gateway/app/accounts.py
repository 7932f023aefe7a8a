"""The accounts at providers that a configuration names, built; those that did not change are kept, with their
connections and what was learnt of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.accounts.account import KeyedProvider
from config.accounts.kinds import ProviderSettings
from config.loader import Loaded
from config.references import Seen
from config.secrets import SecretMissing
from gateway.engine.upstreams import Lines, Upstream
from providers import registry
from providers.extras import ExtraMissing
from providers.http import UpstreamClient


@dataclass(frozen=True, slots=True)
class Accounts:
    """``usable`` by name, and for each other one why it is not, in words for the caller."""

    usable: Mapping[str, Upstream] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    made_of: Mapping[str, object] = field(default_factory=dict)
    """What each usable one was built from; the same again needs no other."""


def accounts_of(
    loaded: Loaded, secrets: Seen, client: UpstreamClient, lines: Lines, before: Accounts
) -> Accounts:
    """All that ``loaded`` names; ``secrets`` is what its references lead to."""
    usable: dict[str, Upstream] = {}
    unusable: dict[str, str] = {}
    made_of: dict[str, object] = {}
    for name, account in loaded.settings.providers.items():
        own = {at: found for at, found in secrets.items() if at[:2] == ("providers", name)}
        recipe = (account, own, client)
        kept = before.usable.get(name)
        if kept is not None and before.made_of[name] == recipe:
            usable[name], made_of[name] = kept, recipe
            continue
        try:
            keys = [registry.build(name, each, client, base=loaded.base) for each in by_key(account)]
        except SecretMissing as missing:
            unusable[name] = f"provider '{name}' has no key: {missing}. {missing.remedy}"
        except ExtraMissing as missing:
            unusable[name] = f"provider '{name}' cannot be called: {missing}, and start the gateway again"
        else:
            usable[name], made_of[name] = Upstream(name, keys, lines.before(name)), recipe
    return Accounts(usable, unusable, made_of)


def homes(accounts: Mapping[str, ProviderSettings]) -> dict[str, str]:
    """Where each account's own server is, for those that have one."""
    found = {name: getattr(account, "base_url", None) for name, account in accounts.items()}
    return {name: url for name, url in found.items() if isinstance(url, str)}


def by_key(account: ProviderSettings) -> list[ProviderSettings]:
    """The account once for each of its keys."""
    keys = account.api_keys if isinstance(account, KeyedProvider) else []
    return [account.model_copy(update={"api_key": key}) for key in keys] or [account]
