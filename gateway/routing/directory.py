"""Public model names and the targets behind them, compiled once from settings and catalog.

``models:`` absent means every catalog model of the configured providers; present means only these. A name
whose providers all lack their key is still known, so that the answer can say which variable to set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from config.accounts.kinds import ProviderSettings
from config.at_account import at_account
from config.billed_on_error import BilledOnError
from config.catalog import Catalog, CatalogModel
from config.models import ModelSettings
from config.normalization import Mode
from config.own_prices import priced
from config.schema import Settings
from gateway.caller import Caller


@dataclass(frozen=True, slots=True)
class Target:
    """One provider and that provider's own model name. ``entry`` says what it takes and costs there, the
    operator's own prices included; ``unusable`` says why it cannot be called now (a missing key), in words
    for the caller."""

    provider: str
    model: str
    entry: CatalogModel
    unusable: str | None = None
    cost_source: Literal["catalogue", "provider"] = "catalogue"
    billed_on_error: BilledOnError = field(default_factory=BilledOnError)


@dataclass(frozen=True, slots=True)
class PublicModel:
    """A name that clients send. ``entry`` is what callers are validated against."""

    name: str
    targets: tuple[Target, ...]
    entry: CatalogModel
    defaults: Mapping[str, object] = field(default_factory=dict)
    resolve_auto: bool | None = None
    """Whether ``defaults`` also take the place of ``auto``; None: where a dollar limit applies."""
    mode: Mode | None = None
    """How strictly calls of this model are served, where it has a word of its own."""

    @property
    def usable(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.unusable is None)

    @property
    def created(self) -> int:
        """Unix seconds for ``GET /v1/models``; the release day, else OpenAI's own first image model's."""
        day = self.entry.released
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) if day else 1745366400


class ModelDirectory:
    """Look-ups over the public models, in the order they were declared."""

    def __init__(self, models: Iterable[PublicModel]) -> None:
        self._models = {model.name: model for model in models}
        self._targets = {
            f"{target.provider}/{target.model}": (model, target)
            for model in reversed(self._models.values())
            for target in model.targets
        }

    def forced(self, name: str) -> PublicModel | None:
        """The public model behind ``PROVIDER/MODEL``, with that target alone; the first that has it. Its name
        stays its own, so that limits and rules of the model hold. None for a name that is a model's own."""
        if name in self._models or name not in self._targets:
            return None
        model, target = self._targets[name]
        return replace(model, targets=(target,))

    def get(self, name: str) -> PublicModel | None:
        return self._models.get(name)

    def visible(self, caller: Caller) -> list[PublicModel]:
        """What this caller may use and the gateway can serve now."""
        return [model for model in self._models.values() if model.usable and caller.may_use(model.name)]

    def names(self) -> list[str]:
        return list(self._models)


def build(settings: Settings, catalog: Catalog, unusable: Mapping[str, str]) -> ModelDirectory:
    """``unusable`` maps a provider's name to why it cannot be called (its key is missing)."""
    if settings.models is None:
        return ModelDirectory(_every_model(settings, catalog, unusable))
    return ModelDirectory(
        _declared(name, model, settings.providers, catalog, unusable)
        for name, model in settings.models.items()
    )


def _every_model(settings: Settings, catalog: Catalog, unusable: Mapping[str, str]) -> Iterable[PublicModel]:
    found: dict[str, list[Target]] = {}
    entries: dict[str, CatalogModel] = {}
    for provider, account in settings.providers.items():
        for entry in catalog.served_by(account.type):
            for name in (entry.id, *entry.aliases):
                entries.setdefault(name, entry)
                target = Target(
                    provider,
                    name,
                    at_account(priced(entry, catalog, account, name), account),
                    unusable.get(provider),
                    account.cost_source,
                    account.billed_on_error,
                )
                found.setdefault(name, []).append(target)
    return [PublicModel(name, tuple(targets), entries[name]) for name, targets in found.items()]


def _declared(
    name: str,
    model: ModelSettings,
    providers: Mapping[str, ProviderSettings],
    catalog: Catalog,
    unusable: Mapping[str, str],
) -> PublicModel:
    targets = []
    for target in model.targets:
        upstream = target.model or name
        account = providers[target.provider]
        entry = catalog.describe(account.type, upstream, target.catalog or model.catalog)
        entry = at_account(priced(entry, catalog, account, upstream, target.prices), account)
        reason = unusable.get(target.provider)
        targets.append(
            Target(target.provider, upstream, entry, reason, account.cost_source, account.billed_on_error)
        )
    face = catalog.get(model.catalog) if model.catalog else None
    return PublicModel(
        name,
        tuple(targets),
        face or targets[0].entry,
        dict(model.defaults),
        model.resolve_auto,
        model.normalization.mode,
    )
