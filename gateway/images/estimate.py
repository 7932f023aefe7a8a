"""What a call can cost, before it is made: low, expected, and a high that no charge of the catalogue exceeds.

The high is what a hold takes. For every outcome that the call leaves open (``auto``), the tokens are bounded
by the entry's counting rules and billed at the dearest reading of a usage report; the dearest outcome counts,
plus the margin. An amount that cannot be bounded is :class:`Unpriced`, never 0 (docs/pricing.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from config.catalog import CatalogModel
from config.counting import Counting
from config.prices import PriceVersion
from gateway.images.amounts import NANO, NanoDollars, Usage
from gateway.images.call import ImageCall, InputSize
from gateway.images.input_tokens import (
    every_input,
    input_picture_tokens,
    likely_text_tokens,
    most_text_tokens,
)
from gateway.images.outcomes import Outcome, is_open, is_sheet, outcomes
from gateway.images.output_tokens import picture_range
from gateway.images.pricing import Delivered, charge_at, rounded_up


@dataclass(frozen=True, slots=True)
class PriceRange:
    """``tokens`` is the high end of input and output together, 0 where the model counts none.

    Flags: ``auto`` (the dearest of what it may choose), ``input_size_unseen`` (as the largest), ``sheet`` (a
    format whose size does not tell, as the largest). ``images`` is the number that was asked for.
    """

    low: NanoDollars
    expected: NanoDollars
    high: NanoDollars
    tokens: int
    images: int
    flags: tuple[str, ...]
    price_version: str


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Why there is no estimate: a ``reason`` for programs, ``explanation`` for people, the ``param`` that it
    hangs on. ``tokens`` as in a range, None where they are not known either."""

    reason: str
    param: str
    tokens: int | None
    price_version: str | None

    @property
    def explanation(self) -> str:
        return _EXPLANATIONS[self.reason]


_EXPLANATIONS = {
    "unpriced": "its price is not known",
    "tokens_unknown": "it is billed by tokens, and how many it takes is not known before the call",
    "size_missing": "its price hangs on sizes that are not known before the call",
    "credits_missing": "it is billed in credits, and how many it takes is not known before the call",
    "extras": "this output is billed by something besides that has no known price",
}


def estimate(
    entry: CatalogModel, price: PriceVersion | None, call: ImageCall, inputs: Sequence[InputSize] = ()
) -> PriceRange | Unpriced:
    """The range for all ``n`` pictures of ``call`` on one target.

    ``entry`` describes that target, ``price`` is the version in force there when the call is admitted (the
    same one settles it), ``inputs`` are the sizes of the pictures that go in (input_sizes.py).
    """
    sizes = every_input(call, inputs)
    counted = _counted(entry, call, sizes)
    tokens = None if counted is None else max(high.total for _, _, high in counted.values())
    version = price.version if price is not None else None
    if price is None or not price.is_known:
        return Unpriced("unpriced", "model", tokens, version)
    extra = price.extra_of(call.params)
    if extra is not None:
        return Unpriced("extras", extra, tokens, version)
    if price.tokens is not None and counted is None:
        return Unpriced("tokens_unknown", "model", tokens, version)
    ranges = []
    for outcome in outcomes(entry, call):
        readings = counted[outcome] if counted is not None else (_NOTHING, _NOTHING, _NOTHING)
        costs = _costs(price, call, outcome, sizes, readings)
        if isinstance(costs, str):
            return Unpriced(costs, "model", tokens, version)
        ranges.append(costs)
    return PriceRange(
        low=min(low for low, _, _ in ranges),
        expected=ranges[0][1],
        high=_with_margin(max(high for _, _, high in ranges), entry.counting, price),
        tokens=tokens or 0,
        images=call.n,
        flags=_flags(entry, call, sizes),
        price_version=price.version,
    )


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Of a whole call."""

    text: int
    image: int
    out: int

    @property
    def total(self) -> int:
        return self.text + self.image + self.out


_NOTHING = _Tokens(0, 0, 0)
_Readings = tuple[_Tokens, _Tokens, _Tokens]
"""Low, expected, high."""


def _counted(
    entry: CatalogModel, call: ImageCall, sizes: Sequence[InputSize]
) -> dict[Outcome, _Readings] | None:
    """Input counts once for each picture made, and so do partial images."""
    counting = entry.counting
    if counting is None or (sizes and counting.input is None):
        return None
    image = _input_tokens(counting, call, sizes)
    text = (1, likely_text_tokens(counting, call.prompt), most_text_tokens(counting, call.prompt))
    partials = _whole(call.params.get("partial_images")) * counting.partial_image
    counted: dict[Outcome, _Readings] = {}
    for outcome in outcomes(entry, call):
        made = picture_range(counting, outcome.quality, outcome.size)
        if made is None:
            return None
        out = (made[0], made[1] + partials, made[2] + partials)
        low, expected, high = (
            _Tokens(call.n * text[at], call.n * image[at], call.n * out[at]) for at in range(3)
        )
        counted[outcome] = (low, expected, high)
    return counted


def _input_tokens(counting: Counting, call: ImageCall, sizes: Sequence[InputSize]) -> tuple[int, int, int]:
    if counting.input is None:
        return 0, 0, 0
    fidelity = call.params.get("input_fidelity")
    word = fidelity if isinstance(fidelity, str) else None
    most = seen = 0
    for size in sizes:
        tokens = input_picture_tokens(counting.input, size, fidelity=word)
        most += tokens
        seen += tokens if size.pixels is not None else 0
    return seen, most, most


def _costs(
    price: PriceVersion, call: ImageCall, outcome: Outcome, sizes: Sequence[InputSize], readings: _Readings
) -> tuple[NanoDollars, NanoDollars, NanoDollars] | str:
    """Low, expected and high of one outcome, or why there are none."""
    low, expected, high = readings
    made = Delivered(
        images=call.n,
        quality=outcome.quality,
        size=outcome.size,
        inputs=sizes,
        input_images=bool(sizes),
    )
    usages = (
        Usage(
            input_text_tokens=low.text,
            input_image_tokens=low.image,
            cached_text_tokens=low.text,
            cached_image_tokens=low.image,
            output_tokens=low.out,
        ),
        Usage(input_text_tokens=expected.text, input_image_tokens=expected.image, output_tokens=expected.out),
        Usage(input_text_tokens=high.text, input_image_tokens=high.image, output_tokens=high.out),
    )
    prices = (price, price, dearest_reading(price, has_pictures=bool(sizes)))
    costs = []
    for usage, at in zip(usages, prices, strict=True):
        charge = charge_at(at, replace(made, usage=usage))
        if charge.cost is None:
            return charge.flags[0]
        costs.append(charge.cost)
    return costs[0], costs[1], costs[2]


def dearest_reading(price: PriceVersion, *, has_pictures: bool) -> PriceVersion:
    """The rates at which no split of the same tokens costs more: nothing cached, undetailed input at the
    dearer rate where pictures go in, output at the dearer of text and pictures."""
    rates = price.tokens
    if rates is None:
        return price
    text = max(rates.text_in, rates.cached_text_in or 0)
    image = max(rates.image_in, rates.cached_image_in or 0)
    dearer = max(text, image) if has_pictures else text
    update = {
        "text_in": dearer,
        "image_in": dearer,
        "image_out": max(rates.image_out, rates.text_out or 0),
    }
    return price.model_copy(update={"tokens": rates.model_copy(update=update)})


def _with_margin(high: NanoDollars, counting: Counting | None, price: PriceVersion) -> NanoDollars:
    margin = price.margin
    if margin is None:
        margin = counting.margin if counting is not None and price.tokens is not None else Decimal(0)
    return rounded_up(high * (1 + margin) / NANO)


def _flags(entry: CatalogModel, call: ImageCall, sizes: Sequence[InputSize]) -> tuple[str, ...]:
    found = {
        "auto": is_open(call) and not _is_flat(entry, call),
        "input_size_unseen": any(size.pixels is None for size in sizes),
        "sheet": is_sheet(entry, call),
    }
    return tuple(flag for flag, is_so in found.items() if is_so)


def _is_flat(entry: CatalogModel, call: ImageCall) -> bool:
    """Whether there is one outcome only, so that ``auto`` leaves nothing open."""
    return len(outcomes(entry, call)) == 1


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
