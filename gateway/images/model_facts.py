"""What the catalog knows of one model at one provider, as JSON for the people who choose and pay."""

from __future__ import annotations

from datetime import date

from config.catalog import CatalogModel
from config.prices import PriceForms, PriceVersion, Source


def facts(entry: CatalogModel, day: date) -> dict[str, object]:
    """``entry`` as it stands on ``day`` (UTC): sizing, what it takes, and the prices in force and to come.
    Amounts are exact text in dollars."""
    return {
        **sizings(entry),
        "capabilities": capabilities(entry),
        "prices": [told(version) for version in prices_from(entry, day)],
        "released": _day(entry.released),
        "shutdown_date": _day(entry.shutdown),
        "sources": [_source(source) for source in entry.sources],
    }


def sizings(entry: CatalogModel) -> dict[str, object]:
    """By the name of the entry's setting; edits only where their sizes differ."""
    found = {
        "sizing": entry.sizing,
        "edit_sizing": entry.edit_sizing,
        "single_edit_sizing": entry.single_edit_sizing,
    }
    return {
        name: sizing.model_dump(mode="json", exclude_none=True)
        for name, sizing in found.items()
        if sizing is not None
    }


def capabilities(entry: CatalogModel) -> dict[str, object]:
    """What the model does by itself; the gateway adds formats, numbers and links on top."""
    return {
        "operations": list(entry.operations),
        "qualities": list(entry.qualities),
        "output_formats": list(entry.output_formats),
        "backgrounds": list(entry.backgrounds),
        "max_n": entry.max_n,
        "streaming": entry.streaming,
        "inputs": entry.inputs.model_dump(mode="json", exclude_none=True),
        "fields": list(entry.fields),
        "values": dict(entry.values),
        "needs": list(entry.needs),
        "needs_one_of": list(entry.needs_one_of),
        "extensions": {
            name: known.model_dump(mode="json", exclude_none=True) for name, known in entry.extensions.items()
        },
    }


def prices_from(entry: CatalogModel, day: date) -> list[PriceVersion]:
    """The version in force on a day, then those that begin later."""
    now = entry.price_on(day)
    later = sorted((price for price in entry.prices if price.since > day), key=lambda price: price.since)
    return [*([now] if now is not None else []), *later]


def told(price: PriceVersion) -> dict[str, object]:
    """One version with where it comes from."""
    forms = price.model_dump(mode="json", include=set(PriceForms.model_fields), exclude_none=True)
    return {
        "version": price.version,
        "currency": "USD",
        **{name: value for name, value in forms.items() if value not in (False, {})},
        "source": price_source(price),
    }


def price_source(price: PriceVersion) -> dict[str, object]:
    """Where the prices come from, how far that can be trusted, and when it was last seen. What an operator
    wrote beside a price of its own (a contract's number) is not for callers."""
    if price.origin == "catalog":
        return _source(price.source)
    text = f"set in this gateway's configuration ({price.origin})"
    return {"text": text, "mark": None, "verified_on": None}


def _source(source: Source) -> dict[str, object]:
    return source.model_dump(mode="json")


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
