"""What an attempt cost: published prices × what was delivered → integer nano-dollars, rounded up once.

Pure: no clock (the price version comes in), no I/O. An amount that cannot be known is ``None`` with a flag
that says why, never 0 (docs/pricing.md).

How a usage report is read, where it leaves a choice:

* Input without a text/image split costs the dearer of the two rates, so that no charge is recorded too low,
  and carries ``undetailed_input``. Where the caller says that no picture went in (``input_images=False``) it
  can only be text, which is priced as such and not flagged.
* Output without a split is image tokens (peers bill it as text and come out far too low).
* Cached tokens are part of their modality's count; a model without a cached rate bills them in full.
* Output text on a model that publishes no rate for it costs the image rate, flagged ``text_out_unpriced``.
* A picture with no output tokens at all is not a usage report but a placeholder: ``usage_missing``.

And for the other forms: a size or quality that a price table needs and nobody told costs the dearest of the
table, flagged ``undetailed_output``; megapixels of an unknown size are unknown (``size_missing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal, localcontext

from config.catalog import CatalogModel
from config.prices import CreditPrices, MegapixelPrices, PriceVersion, TokenPrices
from gateway.images.amounts import NANO, Charge, NanoDollars, Usage
from gateway.images.call import InputSize
from gateway.images.sizing import parse_size
from gateway.images.tables import dearest

MOST_TOKENS = 10**9
"""A reported count above this is no count: it would drown every sum it enters."""

MILLION = 10**6

_EXACT = Context(prec=60)
"""Wide enough that no product or sum below is rounded before the one rounding at the end."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of an attempt, as far as its bill hangs on it.

    ``images`` are those that arrived. ``quality`` and ``size`` (``WIDTHxHEIGHT``, or the provider's word) are
    the answer's, else what was asked for. ``inputs`` are the pictures that went in, ``input_images`` says
    whether any did (it matters for usage that does not split its input). ``cost`` and ``credits`` are what
    the answer itself says of its price; ``params`` are the call's, for what costs something besides.
    """

    images: int
    usage: Usage | None = None
    quality: str | None = None
    size: str | None = None
    inputs: Sequence[InputSize] = ()
    input_images: bool = True
    cost: NanoDollars | None = None
    credits: Decimal | None = None
    params: Mapping[str, object] = field(default_factory=dict)


class _Unknown(Exception):
    """An amount that cannot be told; the text is the flag."""


def charge(
    entry: CatalogModel, day: date, usage: Usage | None, images: int, *, input_images: bool = True
) -> Charge:
    """The charge for ``images`` delivered pictures with ``usage``, at the prices in force on ``day``."""
    return charge_at(entry.price_on(day), Delivered(images, usage, input_images=input_images))


def charge_at(price: PriceVersion | None, delivered: Delivered) -> Charge:
    """The charge by one version of the prices, the one that the attempt was admitted under. All its forms are
    billed. Flags: ``unpriced``, ``usage_missing``, ``size_missing``, ``credits_missing`` (with no cost),
    ``undetailed_input``, ``undetailed_output``, ``text_out_unpriced``, ``partly_unpriced`` (with one)."""
    if delivered.images < 0:
        raise ValueError("a number of images cannot be negative")
    if price is None or not price.is_known:
        return Charge(None, ("unpriced",), price.version if price else None)
    flags: list[str] = []
    try:
        with localcontext(_EXACT):
            dollars = _dollars(price, delivered, flags)
    except _Unknown as unknown:
        return Charge(None, (str(unknown),), price.version)
    if price.extra_of(delivered.params) is not None:
        flags.append("partly_unpriced")
    return Charge(rounded_up(dollars), tuple(flags), price.version)


def rounded_up(dollars: Decimal) -> NanoDollars:
    """The one rounding of an amount."""
    with localcontext(_EXACT):
        return NanoDollars(int((dollars * NANO).to_integral_value(rounding=ROUND_CEILING)))


def _dollars(price: PriceVersion, delivered: Delivered, flags: list[str]) -> Decimal:
    dollars = Decimal(0)
    if price.per_image is not None:
        dollars += price.per_image * delivered.images
    if price.image_table is not None and delivered.images:
        unit, is_exact = dearest(price.image_table, delivered.quality, delivered.size)
        flags += [] if is_exact else ["undetailed_output"]
        dollars += unit * delivered.images
    if price.per_input is not None and delivered.images:
        dollars += price.per_input * len(delivered.inputs)
    if price.per_megapixel is not None and delivered.images:
        dollars += megapixel_dollars(price.per_megapixel, delivered) * delivered.images
    if price.credits is not None:
        dollars += _credits(price.credits, delivered) * price.credits.dollars
    if price.tokens is not None:
        tokens = _read(delivered.usage, delivered.images, delivered.input_images)
        if tokens is None:
            raise _Unknown("usage_missing")
        dollars += _token_dollars(tokens, price.tokens, flags)
    return max(dollars, price.minimum) if price.minimum is not None and dollars else dollars


def megapixel_dollars(prices: MegapixelPrices, delivered: Delivered) -> Decimal:
    """Of one picture made, its share of the inputs included."""
    made = parse_size(delivered.size) if delivered.size is not None else None
    if made is None:
        raise _Unknown("size_missing")
    units = _megapixels(prices, *made)
    further = prices.output if prices.further is None else prices.further
    amount = prices.output * min(units, Decimal(1)) + further * max(units - 1, Decimal(0))
    if prices.input is None:
        return amount
    if delivered.input_images and not delivered.inputs:
        raise _Unknown("size_missing")
    for size in delivered.inputs:
        if size.pixels is not None:
            billed = _megapixels(prices, *size.pixels)
            most = billed if prices.most_input is None else min(billed, Decimal(prices.most_input))
        elif prices.most_input is not None:
            most = Decimal(prices.most_input)
        else:
            raise _Unknown("size_missing")
        amount += prices.input * most
    return amount


def _megapixels(prices: MegapixelPrices, width: int, height: int) -> Decimal:
    units = Decimal(width * height) / prices.pixels
    return units.to_integral_value(rounding=ROUND_CEILING) if prices.whole else units


def _credits(prices: CreditPrices, delivered: Delivered) -> Decimal:
    """What the answer says that it took, else the price list's."""
    if delivered.credits is not None:
        return delivered.credits
    if prices.per_image is None:
        raise _Unknown("credits_missing")
    return prices.per_image * delivered.images


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A usage report, read: every token in exactly one place (cached ones within their modality)."""

    text_in: int
    image_in: int
    cached_text: int
    cached_image: int
    unsplit_in: int
    text_out: int
    image_out: int


def _read(usage: Usage | None, images: int, input_images: bool) -> _Tokens | None:
    """None where the report does not say how many tokens went in or came out."""
    if usage is None:
        return None
    total = _count(usage.total_tokens)
    into = _sum(usage.input_tokens, usage.input_text_tokens, usage.input_image_tokens)
    out = _sum(usage.output_tokens, usage.output_text_tokens, usage.output_image_tokens)
    if total is not None:
        if into is None and out is not None:
            into = max(total - out, 0)
        elif out is None and into is not None:
            out = max(total - into, 0)
    if into is None or out is None or (images > 0 and out == 0):
        return None
    cached_text = _count(usage.cached_text_tokens) or 0
    cached_image = _count(usage.cached_image_tokens) or 0
    text = max(_count(usage.input_text_tokens) or 0, cached_text)
    image = max(_count(usage.input_image_tokens) or 0, cached_image)
    unsplit = max(into - text - image, 0)
    if not input_images:
        text, unsplit = text + unsplit, 0
    text_out = _count(usage.output_text_tokens) or 0
    return _Tokens(text, image, cached_text, cached_image, unsplit, text_out, max(out - text_out, 0))


def _count(tokens: int | None) -> int | None:
    """A negative or an absurd count is no count."""
    return tokens if tokens is not None and 0 <= tokens <= MOST_TOKENS else None


def _sum(total: int | None, *details: int | None) -> int | None:
    """The stated total or the sum of the stated details, whichever is more; None where nothing is stated."""
    stated = [count for count in map(_count, details) if count is not None]
    whole = _count(total)
    if whole is None:
        return sum(stated) if stated else None
    return max(whole, sum(stated))


def _token_dollars(tokens: _Tokens, prices: TokenPrices, flags: list[str]) -> Decimal:
    def cached(rate: Decimal | None, full: Decimal) -> Decimal:
        return full if rate is None else rate

    amount = (tokens.text_in - tokens.cached_text) * prices.text_in
    amount += tokens.cached_text * cached(prices.cached_text_in, prices.text_in)
    amount += (tokens.image_in - tokens.cached_image) * prices.image_in
    amount += tokens.cached_image * cached(prices.cached_image_in, prices.image_in)
    if tokens.unsplit_in:
        flags.append("undetailed_input")
        amount += tokens.unsplit_in * max(prices.text_in, prices.image_in)
    if tokens.text_out:
        if prices.text_out is None:
            flags.append("text_out_unpriced")
        amount += tokens.text_out * (prices.image_out if prices.text_out is None else prices.text_out)
    amount += tokens.image_out * prices.image_out
    return amount / MILLION
