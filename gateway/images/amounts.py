"""Amounts: money, tokens, and what an attempt cost. Values only; pricing.py and usage.py make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

NanoDollars = NewType("NanoDollars", int)
"""10^-9 USD. The only form in which money is stored, summed or compared."""

NANO = 1_000_000_000


def dollars(amount: NanoDollars) -> str:
    """Exact decimal dollars, without an exponent and without a trailing run of zeros."""
    whole, rest = divmod(amount, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt, as the upstream reported them; None where it said nothing.

    Undetailed ``output_tokens`` are image tokens (peers bill them as text and come out wrong).
    """

    input_tokens: int | None = None
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None
    cached_text_tokens: int | None = None
    cached_image_tokens: int | None = None
    output_tokens: int | None = None
    output_text_tokens: int | None = None
    output_image_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt cost. ``cost`` None means unknown, never 0; ``flags`` say why or how, e.g.
    ``unpriced``, ``usage_missing``, ``estimated``. ``catalogue`` and ``reported`` are what our prices make
    of it and what the answer itself says, where it says a cost of its own."""

    cost: NanoDollars | None
    flags: tuple[str, ...] = ()
    price_version: str | None = None
    catalogue: NanoDollars | None = None
    reported: NanoDollars | None = None
