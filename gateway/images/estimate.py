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
from gateway.images.asked import Asked, asked
from gateway.images.call import ImageCall, InputSize
from gateway.images.input_tokens import input_picture_tokens, likely_text_tokens, most_text_tokens
from gateway.images.outcomes import Outcome, outcomes
from gateway.images.output_tokens import picture_range
from gateway.images.pricing import Delivered, charge_at, rounded_up


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of a whole call: its text, the pictures that go in, and what is made."""

    text: int
    image: int
    out: int

    @property
    def total(self) -> int:
        return self.text + self.image + self.out


@dataclass(frozen=True, slots=True)
class Likely:
    """The likeliest outcome of a call and the tokens that it would take."""

    outcome: Outcome
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class PriceRange:
    """``tokens`` is the high end of input and output together, 0 where the model counts none. ``likely`` is
    what ``expected`` was reckoned with (components.py).

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
    likely: Likely


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
    return price_range(entry, price, asked(entry, price, call, inputs))


def price_range(entry: CatalogModel, price: PriceVersion | None, wanted: Asked) -> PriceRange | Unpriced:
    """The same, from what it hangs on."""
    possible = outcomes(entry, wanted)
    counted = _counted(entry.counting, wanted, possible)
    tokens = None if counted is None else max(high.total for _, _, high in counted.values())
    version = price.version if price is not None else None
    if price is None or not price.is_known:
        return Unpriced("unpriced", "model", tokens, version)
    if wanted.extra is not None:
        return Unpriced("extras", wanted.extra, tokens, version)
    if price.tokens is not None and counted is None:
        return Unpriced("tokens_unknown", "model", tokens, version)
    dearest = dearest_reading(price, has_pictures=bool(wanted.inputs))
    ranges = []
    for outcome in possible:
        readings = counted[outcome] if counted is not None else (_NOTHING, _NOTHING, _NOTHING)
        costs = _costs(price, dearest, wanted, outcome, readings)
        if isinstance(costs, str):
            return Unpriced(costs, "model", tokens, version)
        ranges.append(costs)
    return PriceRange(
        low=min(low for low, _, _ in ranges),
        expected=ranges[0][1],
        high=_with_margin(max(high for _, _, high in ranges), entry.counting, price),
        tokens=tokens or 0,
        images=wanted.n,
        flags=_flags(wanted, possible),
        price_version=price.version,
        likely=Likely(possible[0], counted[possible[0]][1] if counted is not None else _NOTHING),
    )


_NOTHING = Tokens(0, 0, 0)
_Readings = tuple[Tokens, Tokens, Tokens]
"""Low, expected, high."""


def _counted(
    counting: Counting | None, wanted: Asked, possible: Sequence[Outcome]
) -> dict[Outcome, _Readings] | None:
    """Input counts once for each picture made, and so do partial images."""
    if counting is None or (wanted.inputs and counting.input is None):
        return None
    image = _input_tokens(counting, wanted)
    length = wanted.text_bytes
    text = (1, likely_text_tokens(counting, length), most_text_tokens(counting, length))
    partials = wanted.partial_images * counting.partial_image
    counted: dict[Outcome, _Readings] = {}
    for outcome in possible:
        made = picture_range(counting, outcome.quality, outcome.size)
        if made is None:
            return None
        out = (made[0], made[1] + partials, made[2] + partials)
        low, expected, high = (
            Tokens(wanted.n * text[at], wanted.n * image[at], wanted.n * out[at]) for at in range(3)
        )
        counted[outcome] = (low, expected, high)
    return counted


def _input_tokens(counting: Counting, wanted: Asked) -> tuple[int, int, int]:
    if counting.input is None:
        return 0, 0, 0
    most = seen = 0
    for size in wanted.inputs:
        tokens = input_picture_tokens(counting.input, size, fidelity=wanted.input_fidelity)
        most += tokens
        seen += tokens if size.pixels is not None else 0
    return seen, most, most


def _costs(
    price: PriceVersion, dearest: PriceVersion, wanted: Asked, outcome: Outcome, readings: _Readings
) -> tuple[NanoDollars, NanoDollars, NanoDollars] | str:
    """Low, expected and high of one outcome, or why there are none."""
    low, expected, high = readings
    made = Delivered(
        images=wanted.n,
        quality=outcome.quality,
        size=outcome.size,
        inputs=wanted.inputs,
        input_images=bool(wanted.inputs),
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
    costs = []
    for usage, at in zip(usages, (price, price, dearest), strict=True):
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


def _flags(wanted: Asked, possible: Sequence[Outcome]) -> tuple[str, ...]:
    found = {
        # Where there is one outcome only, ``auto`` leaves nothing open.
        "auto": wanted.is_open and len(possible) > 1,
        "input_size_unseen": any(size.pixels is None for size in wanted.inputs),
        "sheet": wanted.is_sheet,
    }
    return tuple(flag for flag, is_so in found.items() if is_so)
