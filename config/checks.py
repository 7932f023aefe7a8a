"""What must hold between settings: every name names something, and different things have different names.

Each check adds to the findings and goes on, so that one run shows everything.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from config.addresses import check_database, check_providers, check_server
from config.at_account import unaddressed
from config.catalog import Catalog, CatalogModel
from config.findings import Findings, Location
from config.limit_checks import check_limits, limit_lists
from config.media_checks import check_media
from config.models import ModelSettings
from config.organization import ProjectSettings
from config.price_checks import check_prices
from config.problems import did_you_mean, listed, quoted
from config.routing_checks import check_routing
from config.schema import Settings
from config.sizing import ListedSizing, ratio_of, tier_area


@dataclass(frozen=True, slots=True)
class Names:
    """Every declared provider and public model, also of entries that are broken themselves; None where the
    section as a whole cannot be read, so that nothing can be said of the names in it."""

    providers: Collection[str] | None
    models: Collection[str] | None
    catalog: bool = False
    """Whether the whole catalog is known, the operator's own entries included."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a list of models may name."""

    names: Names
    catalog: Catalog
    today: date


def check(settings: Settings, names: Names, catalog: Catalog, today: date, findings: Findings) -> None:
    known = _Known(names, catalog, today)
    check_server(settings, findings)
    check_providers(settings, findings)
    for name, account in settings.providers.items():
        for upstream, prices in account.prices.items():
            place: Location = ("providers", name, "prices", upstream)
            check_prices(place, prices, catalog if names.catalog else None, findings)
    for name, model in (settings.models or {}).items():
        _check_model(("models", name), name, model, settings, names, catalog, findings)
    default_model = settings.normalization.default_model
    if default_model is not None:
        _check_model_name(("normalization", "default_model"), default_model, known, findings)
    legacy = settings.normalization.legacy_models
    if legacy is not None:
        _check_model_name(("normalization", "legacy_models"), legacy, known, findings)
    _check_timezone(settings.organization.timezone, findings)
    _check_projects(settings.organization.projects, known, findings)
    for location, limits, models in limit_lists(settings.organization):
        for index, limit in enumerate(limits):
            if limit.model is not None and (models is None or limit.model in models):
                _check_model_name((*location, index, "model"), limit.model, known, findings)
    check_routing(
        settings,
        names.providers,
        catalog if names.catalog else None,
        lambda location, name: _check_model_name(location, name, known, findings),
        findings,
    )
    check_limits(settings, findings)
    check_database(settings.storage.database, findings)
    check_media(settings, findings)


def _check_model(
    location: Location,
    name: str,
    model: ModelSettings,
    settings: Settings,
    names: Names,
    catalog: Catalog,
    findings: Findings,
) -> None:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", name):
        findings.problem_at_key(
            location, "a model's name is printable ASCII without spaces, at most 200 characters"
        )
    if model.catalog is not None and names.catalog:
        _check_catalog_name((*location, "catalog"), model.catalog, catalog, findings)
    for index, target in enumerate(model.targets):
        place: Location = (*location, "targets", index)
        if names.providers is not None and target.provider not in names.providers:
            declared = listed(names.providers) or "none"
            hint = did_you_mean(target.provider, names.providers)
            findings.problem(
                (*place, "provider"),
                f"no provider is called {quoted(target.provider)}.{hint} Declared: {declared}",
            )
        account = settings.providers.get(target.provider)
        if account is not None and (why := unaddressed(account, target.model or name)) is not None:
            findings.problem(place, why)
        if target.catalog is not None and names.catalog:
            _check_catalog_name((*place, "catalog"), target.catalog, catalog, findings)
        check_prices((*place, "prices"), target.prices, catalog if names.catalog else None, findings)
    for field, value in model.defaults.items() if names.catalog else ():
        message = _refusal(field, value, list(_entries(name, model, settings, catalog)), catalog)
        if message:
            findings.problem((*location, "defaults", field), message)


def _check_catalog_name(location: Location, name: str, catalog: Catalog, findings: Findings) -> None:
    if catalog.get(name) is None:
        hint = did_you_mean(name, catalog.names())
        findings.problem(location, f"the catalog has no model {quoted(name)}.{hint}")


def _entries(name: str, model: ModelSettings, settings: Settings, catalog: Catalog) -> Iterator[CatalogModel]:
    for target in model.targets:
        account = settings.providers.get(target.provider)
        if account is not None:
            yield catalog.describe(account.type, target.model or name, target.catalog or model.catalog)


def _refusal(
    field: str, value: str | int | bool, entries: Sequence[CatalogModel], catalog: Catalog
) -> str | None:
    """Why a default would make every request fail; None where it would not. Models without published facts
    may take anything."""
    described = [entry for entry in entries if entry.fields]
    if not described or len(described) < len(entries):
        return None
    fields = {known for entry in described for known in entry.fields}
    if field in GATEWAYS_OWN:
        right = value in _FITS if field == "fit" else _says_a_size(field, value)
        return None if right else f"expected {GATEWAYS_OWN[field]}"
    if field == "size" and _says_a_size(field, value):
        return None
    if field not in fields:
        return f"{described[0].id} takes no field {quoted(field)}.{did_you_mean(field, fields)}"
    for entry in described:
        accepted = {
            "quality": entry.qualities,
            "output_format": entry.output_formats,
            "background": entry.backgrounds,
            "size": [*entry.sizing.sizes, "auto"] if isinstance(entry.sizing, ListedSizing) else [],
        }.get(field, entry.values.get(field, []))
        if accepted and value not in accepted:
            return f"{entry.id} accepts {listed(accepted)}.{did_you_mean(str(value), accepted)}"
    return None


_FITS = ("none", "cover", "contain")
GATEWAYS_OWN = {
    "aspect_ratio": "a ratio such as 16:9",
    "resolution": "a tier such as 2K",
    "fit": "none, cover or contain",
}
"""Fields that every model has, since the gateway serves them, and what they hold."""


def _says_a_size(field: str, value: str | int | bool) -> bool:
    """Whether ``value`` is a ratio or a tier that the field takes; pixels are a model's own."""
    text = value if isinstance(value, str) else ""
    is_ratio, is_tier = ratio_of(text) is not None, tier_area(text) is not None
    return text == "auto" or (is_ratio and field != "resolution") or (is_tier and field != "aspect_ratio")


def _check_model_name(location: Location, name: str, known: _Known, findings: Findings) -> None:
    names, entry = known.names, known.catalog.get(name)
    if names.models is None or names.providers is None or name in names.models:
        return
    provider, _, model = name.partition("/")
    if model and provider in names.providers:
        return
    if entry is not None and entry.is_shut_down(known.today):
        # A warning: a newer catalog retires models, and must not make a configuration unusable.
        successor = f"; its successor is {entry.successor}" if entry.successor else ""
        findings.warn(location, f"{name} was shut down on {entry.shutdown}{successor}")
        return
    hint = did_you_mean(name, names.models)
    findings.problem(
        location, f"there is no model {quoted(name)}.{hint} Models: {listed(names.models) or 'none'}"
    )


def _check_timezone(name: str, findings: Findings) -> None:
    if name != "UTC" and name not in (zones := zoneinfo.available_timezones()):
        hint = did_you_mean(name, sorted(zones))
        findings.problem(
            ("organization", "timezone"),
            f"there is no time zone {quoted(name)}; write one such as Europe/Vienna.{hint}",
        )


def _check_projects(projects: Sequence[ProjectSettings], known: _Known, findings: Findings) -> None:
    project_names: set[str] = set()
    project_ids: dict[str, str] = {}
    secrets: set[str] = set()
    for index, project in enumerate(projects):
        location: Location = ("organization", "projects", index)
        if project.name in project_names:
            findings.problem(
                (*location, "name"), f"another project is called {project.name}; names are unique"
            )
        elif project.project_id in project_ids:
            findings.problem(
                (*location, "id" if project.id else "name"),
                f"the project {project_ids[project.project_id]} has the id {project.project_id} too; "
                "give one of them an id of its own",
            )
        project_names.add(project.name)
        project_ids.setdefault(project.project_id, project.name)
        for number, model in enumerate(project.models or []):
            _check_model_name((*location, "models", number), model, known, findings)
        _check_keys(location, project, known, secrets, findings)


def _check_keys(
    location: Location, project: ProjectSettings, known: _Known, secrets: set[str], findings: Findings
) -> None:
    seen: set[str] = set()
    for index, key in enumerate(project.keys):
        place: Location = (*location, "keys", index)
        if key.name in seen:
            findings.problem(
                (*place, "name"), f"another key of {project.name} is called {key.name}; names are unique"
            )
        seen.add(key.name)
        field, secret = ("sha256", key.sha256) if key.sha256 else ("key", key.key.text if key.key else "")
        if secret in secrets:
            findings.problem((*place, field), "another key has the same secret; every key needs its own")
        secrets.add(secret)
        for number, model in enumerate(key.models or []):
            spot: Location = (*place, "models", number)
            if project.models is not None and model not in project.models:
                findings.problem(
                    spot, f"the project {project.name} may not use {quoted(model)}; a key cannot widen that"
                )
            else:
                _check_model_name(spot, model, known, findings)
