"""What an attempt cost: published prices × reported usage → integer nano-dollars, rounded up once.

Pure: no clock (the day comes in), no I/O. An amount that cannot be known is ``None`` with a flag that says
why, never 0 (reference prices and their reading: docs on costs, OpenAI's images guide, "Cost and latency").

How a usage report is read, where it leaves a choice:

* Input without a text/image split costs the dearer of the two rates, so that no charge is recorded too low,
  and carries ``undetailed_input``. Where the caller says that no picture went in (``input_images=False``) it
  can only be text, which is priced as such and not flagged.
* Output without a split is image tokens (peers bill it as text and come out far too low).
* Cached tokens are part of their modality's count; a model without a cached rate bills them in full.
* Output text on a model that publishes no rate for it costs the image rate, flagged ``text_out_unpriced``.
* A picture with no output tokens at all is not a usage report but a placeholder: ``usage_missing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Context, Decimal, localcontext

from config.catalog import MILLION, CatalogModel, TokenPrices
from gateway.images.amounts import NANO, Charge, NanoDollars, Usage

MOST_TOKENS = 10**9
"""A reported count above this is no count: it would drown every sum it enters."""

_EXACT = Context(prec=60)
"""Wide enough that no product or sum below is rounded before the one rounding at the end."""


def charge(
    entry: CatalogModel, day: date, usage: Usage | None, images: int, *, input_images: bool = True
) -> Charge:
    """The charge for ``images`` delivered pictures with ``usage``, at the prices in force on ``day``.

    ``input_images`` says whether pictures were part of the input (an edit); it matters only for usage that
    does not split its input. A version with both token and per-image prices bills both. Flags:
    ``unpriced``, ``usage_missing``, ``undetailed_input``, ``text_out_unpriced``.
    """
    if images < 0:
        raise ValueError("a number of images cannot be negative")
    price = entry.price_on(day)
    if price is None:
        return Charge(None, ("unpriced",))
    if price.tokens is None and price.per_image is None:
        if price.free:
            return Charge(NanoDollars(0), (), price.version)
        return Charge(None, ("unpriced",), price.version)
    flags: list[str] = []
    with localcontext(_EXACT):
        dollars = Decimal(0)
        if price.per_image is not None:
            dollars += price.per_image * images
        if price.tokens is not None:
            tokens = _read(usage, images, input_images)
            if tokens is None:
                return Charge(None, ("usage_missing",), price.version)
            dollars += _token_dollars(tokens, price.tokens, flags)
        nano = (dollars * NANO).to_integral_value(rounding=ROUND_CEILING)
    return Charge(NanoDollars(int(nano)), tuple(flags), price.version)


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
