"""Estimates, remembered: most calls of a day ask for the same few things at a few lengths of prompt."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from config.catalog import CatalogModel
from config.prices import PriceVersion
from gateway.images.asked import Asked, asked
from gateway.images.call import ImageCall, InputSize
from gateway.images.estimate import PriceRange, Unpriced, price_range

MOST = 512
"""Estimates that are kept; beyond it the one that was not asked for the longest time goes."""


@dataclass(frozen=True, slots=True)
class _Known:
    """``entry`` and ``price`` are held on to: while they live, no other object has their ids."""

    entry: CatalogModel
    price: PriceVersion | None
    found: PriceRange | Unpriced


class Estimates:
    """What :func:`gateway.images.estimate.estimate` says, exactly, without working it out twice. Keeps no
    prompt, only lengths. One per process."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[tuple[int, int, Asked], _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(
        self,
        entry: CatalogModel,
        price: PriceVersion | None,
        call: ImageCall,
        inputs: Sequence[InputSize] = (),
    ) -> PriceRange | Unpriced:
        what = asked(entry, price, call, inputs)
        key = (id(entry), id(price), what)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known.found
        found = price_range(entry, price, what)
        self._known[key] = _Known(entry, price, found)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return found
