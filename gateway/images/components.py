"""What an expected amount is made of, part by part: what goes in, what is made, and what each costs.

For showing only: what is held and what is charged comes from estimate.py and pricing.py. The parts add up to
the expected amount of the same estimate before its one rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from config.prices import PriceVersion
from gateway.images.call import InputSize
from gateway.images.estimate import PriceRange
from gateway.images.pricing import MILLION, Delivered, megapixel_dollars
from gateway.images.tables import dearest

Way = Literal["input", "output", "minimum"]
Metric = Literal["text_token", "image_token", "image", "credit", "call"]


@dataclass(frozen=True, slots=True)
class Component:
    """``quantity`` units at ``unit_price`` dollars each. Of type ``minimum``: what is missing to the least
    that a call costs."""

    type: Way
    metric: Metric
    quantity: Decimal
    unit_price: Decimal

    @property
    def dollars(self) -> Decimal:
        return self.quantity * self.unit_price


def components(
    price: PriceVersion, priced: PriceRange, inputs: Sequence[InputSize] = ()
) -> tuple[Component, ...]:
    """Of one upstream call. ``price`` and ``inputs`` are what ``priced`` was reckoned with. Empty for what
    costs nothing."""
    found = tuple(part for part in _parts(price, priced, inputs) if part.dollars)
    total = sum((part.dollars for part in found), Decimal(0))
    if price.minimum is not None and 0 < total < price.minimum:
        return (*found, Component("minimum", "call", Decimal(1), price.minimum - total))
    return found


def added(parts: Sequence[Component]) -> tuple[Component, ...]:
    """Parts of several upstream calls as those of one: alike ones are counted together."""
    sums: dict[tuple[object, ...], Component] = {}
    for part in parts:
        alike = (part.type, part.metric, part.unit_price)
        known = sums.get(alike)
        sums[alike] = part if known is None else replace(known, quantity=known.quantity + part.quantity)
    return tuple(sums.values())


def _parts(price: PriceVersion, priced: PriceRange, inputs: Sequence[InputSize]) -> Iterator[Component]:
    outcome, tokens, images = priced.likely.outcome, priced.likely.tokens, Decimal(priced.images)
    rates = price.tokens
    if rates is not None:
        yield Component("input", "text_token", Decimal(tokens.text), rates.text_in / MILLION)
        yield Component("input", "image_token", Decimal(tokens.image), rates.image_in / MILLION)
        yield Component("output", "image_token", Decimal(tokens.out), rates.image_out / MILLION)
    if price.per_image is not None:
        yield Component("output", "image", images, price.per_image)
    if price.image_table is not None:
        yield Component(
            "output", "image", images, dearest(price.image_table, outcome.quality, outcome.size)[0]
        )
    if price.per_input is not None:
        yield Component("input", "image", Decimal(len(inputs)), price.per_input)
    if price.per_megapixel is not None:
        made = Delivered(1, size=outcome.size, inputs=inputs, input_images=bool(inputs))
        yield Component("output", "image", images, megapixel_dollars(price.per_megapixel, made))
    if price.credits is not None and price.credits.per_image is not None:
        yield Component("output", "credit", images * price.credits.per_image, price.credits.dollars)
