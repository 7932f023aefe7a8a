"""The packaged catalog with the operator's own entries laid over it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date

from pydantic import ValidationError

from config.catalog import Catalog, CatalogModel, free_form, load_catalog
from config.catalog_settings import CatalogSettings
from config.findings import Location
from config.own_prices import versions_of
from config.prices import Source
from config.problems import did_you_mean, listed, quoted
from config.schema import Settings

Fault = tuple[Location, str]

_NOT_AN_ENTRYS = frozenset({"extends", "prices", "inputs"})


def catalog_of(settings: Settings) -> Catalog:
    """The catalog that a configuration without faults is served with."""
    return read_catalog(settings.catalog)[0] if settings.catalog else load_catalog()


def read_catalog(
    own: Sequence[CatalogSettings], types: Collection[str] = (), declared: Collection[str] = ()
) -> tuple[Catalog, list[Fault]]:
    """The catalog, and what is wrong with entries that it leaves out for that. ``types`` are the types of
    accounts there are; ``declared`` ids that stand in a file and cannot be read, which are described as
    freely as may be."""
    packaged = load_catalog()
    entries = {entry.id: entry for entry in packaged.entries}
    faults: list[Fault] = []
    for index, settings in _ordered(own):
        found = list(_faults(index, own, entries, types))
        if not found and not _names_a_faulty_one(settings, own, entries):
            try:
                entries[settings.id] = _entry(settings, entries)
            except ValidationError as error:
                found = [
                    ((), str(fault.get("ctx", {}).get("error", fault["msg"]))) for fault in error.errors()
                ]
        faults += [(("catalog", index, *place), message) for place, message in found]
    for name in declared:
        entries.setdefault(name, free_form(name))
    faults += [(("catalog", index, *place), text) for index, place, text in _dangling(own, entries)]
    return (packaged if faults else Catalog(entries.values())), faults


def _ordered(own: Sequence[CatalogSettings]) -> Iterator[tuple[int, CatalogSettings]]:
    """The entries, each behind those that it is made from; where they go in a circle, as written."""
    waiting = dict(enumerate(own))
    while waiting:
        ids = {settings.id for settings in waiting.values()}
        ready = [index for index, settings in waiting.items() if not (_sources(settings) & ids)]
        for index in ready or list(waiting):
            yield index, waiting.pop(index)


def _sources(settings: CatalogSettings) -> set[str]:
    """The other entries that this one is made from."""
    names = {settings.extends, *(price.like for price in settings.prices or [])}
    return {name for name in names if name is not None and name != settings.id}


def _circle(settings: CatalogSettings, own: Sequence[CatalogSettings]) -> str | None:
    """What is wrong where an entry is made from itself in the end; None where it is not."""
    starts = {other.id: other.extends for other in own}
    way = [settings.id]
    while (name := starts.get(way[-1])) is not None and name not in way:
        way.append(name)
    if name != settings.id:
        return None
    if way == [name]:
        return (
            "it extends itself; without extends it corrects the catalog's entry of this id, if there is one"
        )
    return f"{' extends '.join([*way, name])}, in a circle; let one of them start from another entry"


def _round(settings: CatalogSettings, own: Sequence[CatalogSettings]) -> str | None:
    """What is wrong where an entry is made from itself by way of prices; None where it is not."""
    sources = {other.id: _sources(other) for other in own}
    prices = {price.like for price in settings.prices or []}
    ways = [[settings.id, settings.id]] if settings.id in prices else []
    open_ways, seen = [[settings.id]], set[str]()
    while open_ways and not ways:
        way = open_ways.pop(0)
        for name in sorted(sources.get(way[-1], ())):
            if name == settings.id:
                ways.append([*way, name])
            elif name not in seen:
                seen.add(name)
                open_ways.append([*way, name])
    if not ways:
        return None
    shortest = min(ways, key=len)
    return f"goes round in a circle: {' → '.join(shortest)}; give one of them prices of its own"


def _entry(settings: CatalogSettings, entries: dict[str, CatalogModel]) -> CatalogModel:
    base = entries.get(settings.extends or settings.id) or free_form(settings.id)
    given = {
        name: value
        for name in settings.model_fields_set - _NOT_AN_ENTRYS
        if (value := getattr(settings, name)) is not None
    }
    if settings.extends is not None:
        # A copy is served by its own name alone, and lives its own life.
        alone: dict[str, object] = {"providers": [], "aliases": [], "variants": {}}
        given = {**alone, "released": None, "shutdown": None, "successor": None, **given}
    if base.passthrough and settings.fields:
        given.setdefault("passthrough", False)
    if settings.inputs is not None:
        changed = {name: getattr(settings.inputs, name) for name in settings.inputs.model_fields_set}
        given["inputs"] = base.inputs.model_copy(update=changed)
    if settings.prices is not None:
        catalog = Catalog(entries.values())
        given["prices"] = [
            version for price in settings.prices for version in versions_of(price, "entry", catalog)
        ]
    source = Source(text="this gateway's configuration", mark="read", verified_on=date.min)
    whole = {name: getattr(base, name) for name in CatalogModel.model_fields}
    return CatalogModel.model_validate({**whole, **given, "sources": [*base.sources, source]})


def _faults(
    index: int,
    own: Sequence[CatalogSettings],
    entries: dict[str, CatalogModel],
    types: Collection[str],
) -> Iterator[Fault]:
    settings, ids = own[index], [other.id for other in own]
    if settings.id in ids[:index]:
        yield ("id",), f"another entry describes {quoted(settings.id)}; keep one"
    owner = next((entry for entry in entries.values() if settings.id in entry.aliases), None)
    if owner is not None:
        yield (
            ("id",),
            f"{quoted(settings.id)} is another name of {owner.id}; describe {owner.id}, or take another id",
        )
    if (circle := _circle(settings, own)) is not None:
        yield ("extends",), circle
    elif settings.extends is not None and settings.extends not in (*entries, *ids):
        yield ("extends",), _no_entry(settings.extends, entries)
    elif settings.extends is not None and settings.extends not in entries:
        # It stands in this file and cannot be read before this one.
        around = _round(settings, own)
        if around is not None:
            yield ("extends",), around
    for place, name in enumerate(settings.aliases or []):
        owners = [entry.id for entry in entries.values() if name in (entry.id, *entry.aliases)]
        if any(other != settings.id for other in owners) or name == settings.id:
            yield ("aliases", place), f"{quoted(name)} is the name of {(owners or [settings.id])[0]} already"
    for place, name in enumerate(settings.providers or []):
        if types and name not in types:
            yield (
                ("providers", place),
                f"there is no provider type {quoted(name)}.{did_you_mean(name, types)} "
                f"Types: {listed(types)}",
            )
    for place, price in enumerate(settings.prices or []):
        if price.like is not None and price.like not in _names(entries):
            around = _round(settings, own) if price.like in ids else None
            if around is not None:
                yield ("prices", place, "like"), around
            elif price.like not in ids:
                yield ("prices", place, "like"), _no_entry(price.like, entries)


def _names_a_faulty_one(
    settings: CatalogSettings, own: Sequence[CatalogSettings], entries: dict[str, CatalogModel]
) -> bool:
    """Whether an entry costs what one does that was left out; that one's fault is told, and is enough."""
    names = _names(entries)
    return any(
        price.like is not None and price.like not in names and price.like in {other.id for other in own}
        for price in settings.prices or []
    )


def _dangling(
    own: Sequence[CatalogSettings], entries: dict[str, CatalogModel]
) -> Iterator[tuple[int, Location, str]]:
    """Names of entries that may stand further down."""
    names = _names(entries)
    for index, settings in enumerate(own):
        if settings.successor is not None and settings.successor not in names:
            yield index, ("successor",), _no_entry(settings.successor, entries)
        for kind, name in (settings.variants or {}).items():
            if name not in names:
                yield index, ("variants", kind), _no_entry(name, entries)


def _names(entries: dict[str, CatalogModel]) -> set[str]:
    return {name for entry in entries.values() for name in (entry.id, *entry.aliases)}


def _no_entry(name: str, entries: dict[str, CatalogModel]) -> str:
    return f"the catalog has no model {quoted(name)}.{did_you_mean(name, sorted(_names(entries)))}"
