"""What works today and will not please tomorrow: warnings, so that the passing of time stops no start.

``imagegate check --strict`` treats them as errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date

from config.catalog import Catalog, CatalogModel, load_catalog
from config.drain import LAST_SECONDS, grace_of
from config.findings import Findings, Location
from config.limit_checks import limit_lists, look_at_limits
from config.models import ModelSettings
from config.names import public_models
from config.own_prices import priced
from config.problems import did_you_mean, listed, quoted
from config.schema import Settings

OLD_AFTER_DAYS = 180

_DEPLOYED = {"azure-openai": "gpt-image-2", "azure-mai": "MAI-Image-2.6"}
"""Types whose models have names of their owners' choice, each with an entry that may describe one."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A declared target: ``public`` is the name clients send, ``upstream`` the provider's own."""

    location: Location
    provider: str
    public: str
    provider_type: str
    upstream: str
    entry: CatalogModel


def look_ahead(settings: Settings, catalog: Catalog, today: date, findings: Findings) -> None:
    if not settings.providers:
        findings.warn(("providers",), "no provider is configured, so no model can be served; add one")
    look_at_limits(settings, today, findings)
    _short_grace(settings, findings)
    _unused_providers(settings, catalog, findings)
    _unused_prices(settings, catalog, findings)
    _unused_entries(settings, catalog, findings)
    for target in _targets(settings, catalog):
        _lifetime(target, today, findings)
        _unknown_name(target, catalog, findings)
        if _has_dollar_limit(settings, target.public):
            _price(target, today, findings)
    if settings.models is None and _has_dollar_limit(settings, None):
        _unpriced_catalog(settings, catalog, today, findings)


def _targets(settings: Settings, catalog: Catalog) -> Iterator[_Target]:
    for name, model in (settings.models or {}).items():
        for index, target in enumerate(model.targets):
            account = settings.providers[target.provider]
            upstream = target.model or name
            entry = catalog.describe(account.type, upstream, target.catalog or model.catalog)
            entry = priced(entry, catalog, account, upstream, target.prices)
            location = ("models", name, "targets", index)
            yield _Target(location, target.provider, name, account.type, upstream, entry)


def _has_dollar_limit(settings: Settings, model: str | None) -> bool:
    """Whether a limit in force can apply to calls of this public model (None: of any)."""
    return any(
        limit.spend_usd is not None
        and not limit.shadow
        and _allows(models, model)
        and (model is None or limit.model is None or limit.model == model)
        for _, limits, models in limit_lists(settings.organization)
        for limit in limits
    )


def _allows(models: Collection[str] | None, model: str | None) -> bool:
    return models is None or model is None or model in models


def _lifetime(target: _Target, today: date, findings: Findings) -> None:
    entry = target.entry
    if entry.is_shut_down(today):
        successor = f"; its successor is {entry.successor}" if entry.successor else ""
        findings.warn(target.location, f"{entry.id} was shut down on {entry.shutdown}{successor}")


def _unknown_name(target: _Target, catalog: Catalog, findings: Findings) -> None:
    """A name that a provider of published models does not publish is most often a slip of the pen."""
    if target.entry.sources:
        return
    if example := _DEPLOYED.get(target.provider_type):
        findings.warn(
            target.location,
            f"nothing is known of the deployment {quoted(target.upstream)}; say what it is, "
            f"such as catalog: {example}",
        )
    elif served := catalog.served_by(target.provider_type):
        hint = did_you_mean(
            target.upstream, [name for entry in served for name in (entry.id, *entry.aliases)]
        )
        findings.warn(target.location, f"the catalog knows no model {quoted(target.upstream)}.{hint}")


def _price(target: _Target, today: date, findings: Findings) -> None:
    price = target.entry.price_on(today)
    if price is None or not price.is_known:
        findings.warn(
            target.location,
            f"the price of {quoted(target.upstream)} is not known, so a dollar limit cannot hold it; name "
            "the catalog entry that prices it (catalog:), write its prices: or take it out of the limited "
            "projects",
        )
        return
    if price.tokens is not None and target.entry.counting is None:
        findings.warn(
            target.location,
            f"how many tokens {quoted(target.upstream)} takes is not known before a call, so a dollar limit "
            "cannot hold it; price it per picture, or like: a model of the catalog",
        )
    if price.origin != "catalog":
        return
    age = (today - price.source.verified_on).days
    if price.source.mark == "unverified":
        findings.warn(target.location, f"the price of {target.entry.id} is unverified: {price.source.text}")
    elif age > OLD_AFTER_DAYS and not price.free:
        findings.warn(target.location, f"the price of {target.entry.id} was last verified {age} days ago")


def _unpriced_catalog(settings: Settings, catalog: Catalog, today: date, findings: Findings) -> None:
    for name, account in settings.providers.items():
        unpriced = [
            entry.id
            for entry in catalog.served_by(account.type)
            if (price := priced(entry, catalog, account, entry.id).price_on(today)) is None
            or not price.is_known
        ]
        if unpriced:
            findings.warn(
                ("providers", name),
                f"the price of {listed(unpriced)} is not known, so a dollar limit cannot hold them; "
                "list under models: what clients may use",
            )


def _unused_prices(settings: Settings, catalog: Catalog, findings: Findings) -> None:
    """A price under a name that nothing is called is most often a slip of the pen, and costs money."""
    for name, account in settings.providers.items():
        called = {target.upstream for target in _targets(settings, catalog) if target.provider == name}
        called |= {target.entry.id for target in _targets(settings, catalog) if target.provider == name}
        if settings.models is None:
            called |= {known for e in catalog.served_by(account.type) for known in (e.id, *e.aliases)}
        for model in account.prices:
            if model not in called:
                findings.warn(
                    ("providers", name, "prices", model),
                    f"no model of this provider is called {quoted(model)}, so this price is never used."
                    f"{did_you_mean(model, sorted(called))}",
                )


def _unused_entries(settings: Settings, catalog: Catalog, findings: Findings) -> None:
    """An entry that describes nothing is most often a correction under a mistaken id."""
    named = {name for model in (settings.models or {}).values() for name in _named_by(model)}
    for own in settings.catalog:
        prices = [price.like for price in own.prices or []]
        names = [*prices, own.extends, own.successor, *(own.variants or {}).values()]
        named |= {name for name in names if name is not None}
    if settings.models is None:
        accounts = settings.providers.values()
        named |= {entry.id for account in accounts for entry in catalog.served_by(account.type)}
    named |= {target.entry.id for target in _targets(settings, catalog)}
    packaged = load_catalog()
    for index, own in enumerate(settings.catalog):
        if own.id not in named and packaged.get(own.id) is None:
            hint = did_you_mean(own.id, [known for known in catalog.names() if known != own.id])
            findings.warn(("catalog", index, "id"), f"no model is described by {quoted(own.id)}.{hint}")


def _named_by(model: ModelSettings) -> set[str]:
    return {name for name in (model.catalog, *(target.catalog for target in model.targets)) if name}


def _short_grace(settings: Settings, findings: Findings) -> None:
    """Calls that are broken off may have been paid for."""
    longest = settings.routing.longest_call
    if grace_of(settings.server.drain, settings.routing) - LAST_SECONDS < longest:
        findings.warn(
            ("server", "drain", "grace"),
            f"a call may take {longest:.0f}s (routing.deadline and 120s for a late answer), but is broken "
            f"off 10s before the grace ends, although it may have been paid for; "
            f"{longest + LAST_SECONDS:.0f}s or more leaves each its time",
        )


def _unused_providers(settings: Settings, catalog: Catalog, findings: Findings) -> None:
    models = (settings.models or {}).values()
    used = {target.provider for model in models for target in model.targets}
    for name, account in settings.providers.items():
        if settings.models is not None and name not in used:
            findings.warn(("providers", name), "no model has a target here, so it is never called")
        elif settings.models is None and not catalog.served_by(account.type):
            findings.warn(
                ("providers", name),
                f"{account.type} serves no model by itself; name what it serves under models:",
            )
    if settings.models is not None and not public_models(settings, catalog):
        findings.warn(
            ("models",), "no model is declared, so nothing can be served; remove models: to offer all"
        )
