"""What must hold between the operator's own prices of one model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from config.catalog import Catalog
from config.findings import Findings, Location
from config.prices import PriceSettings
from config.problems import did_you_mean, quoted


def check_prices(
    location: Location, prices: Sequence[PriceSettings], catalog: Catalog | None, findings: Findings
) -> None:
    """``catalog`` is None where not all of it can be read."""
    for index, price in enumerate(prices):
        place: Location = (*location, index)
        if price.like is not None and catalog is not None:
            _check_like((*place, "like"), price.like, catalog, findings)
        for earlier in prices[:index]:
            if price.since == earlier.since:
                findings.problem(
                    place, f"another price here holds from the same day ({price.since or 'always'})"
                )
            elif (price.like or earlier.like) and _overlap(price, earlier):
                # The other model's own price changes would come between them.
                findings.problem(
                    place, "a price with like: may not overlap another one; give the earlier one an until:"
                )


def _check_like(location: Location, name: str, catalog: Catalog, findings: Findings) -> None:
    entry = catalog.get(name)
    if entry is None:
        findings.problem(
            location, f"the catalog has no model {quoted(name)}.{did_you_mean(name, catalog.names())}"
        )
    elif not entry.prices:
        findings.problem(location, f"the catalog has no prices of {quoted(name)} either")


def _overlap(one: PriceSettings, other: PriceSettings) -> bool:
    return (one.since or date.min) <= (other.until or date.max) and (other.since or date.min) <= (
        one.until or date.max
    )
