"""The operator's own prices, laid over the catalog's: a target's win over its provider's, and both over what
the catalog says, each on the days it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from config.accounts.kinds import ProviderSettings
from config.catalog import Catalog, CatalogModel
from config.prices import Origin, PriceForms, PriceSettings, PriceVersion, Source


def priced(
    entry: CatalogModel,
    catalog: Catalog,
    account: ProviderSettings,
    upstream: str,
    target: Sequence[PriceSettings] = (),
) -> CatalogModel:
    """``entry`` with all prices that can count for the provider's own model name ``upstream`` there.

    A dated name without a price of its own costs what its entry's id costs. Where prices are ``like`` another
    entry's and nothing is known of the tokens of this one, the other's are taken over too. Raises ValueError
    for a ``like`` that names nothing.
    """
    of_account = account.prices.get(upstream) or account.prices.get(entry.id, [])
    written: list[tuple[Origin, PriceSettings]] = [("provider", settings) for settings in of_account]
    written += [("target", settings) for settings in target]
    if not written:
        return entry
    versions = [version for origin, settings in written for version in versions_of(settings, origin, catalog)]
    changes: dict[str, object] = {"prices": [*entry.prices, *versions]}
    models = [_entry(settings.like, catalog) for _, settings in reversed(written) if settings.like]
    if entry.counting is None and models:
        changes |= {"counting": models[0].counting, "auto": entry.auto or models[0].auto}
    return entry.model_copy(update=changes)


def versions_of(settings: PriceSettings, origin: Origin, catalog: Catalog) -> Iterable[PriceVersion]:
    """What one price of the operator's comes to: several versions where it is ``like`` an entry that has
    several. Raises ValueError for a ``like`` that names nothing."""
    first, last = settings.since or date.min, settings.until or date.max
    if settings.like is None:
        yield PriceVersion(
            **{name: getattr(settings, name) for name in PriceForms.model_fields},
            since=first,
            until=settings.until,
            source=Source(text=settings.note, mark="read", verified_on=first),
            origin=origin,
        )
        return
    for version in _entry(settings.like, catalog).prices:
        since, until = max(first, version.since), min(last, version.until or date.max)
        if since <= until:
            yield version.model_copy(
                update={
                    "since": since,
                    "until": None if until == date.max else until,
                    "origin": origin,
                    "margin": settings.margin if settings.margin is not None else version.margin,
                    "minimum": settings.minimum if settings.minimum is not None else version.minimum,
                }
            )


def _entry(name: str, catalog: Catalog) -> CatalogModel:
    entry = catalog.get(name)
    if entry is None:
        raise ValueError(f"the catalog has no model {name}")
    return entry
