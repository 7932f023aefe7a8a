"""Dollars as text, exact to the nano-dollar, both ways. Pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from gateway.ledger.records import NANO, NanoDollars

_MOST = Decimal(2**53)


def exact(amount: int) -> str:
    """``0.210775000``: always nine decimals."""
    whole, rest = divmod(abs(amount), NANO)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:09d}"


def nano(text: str) -> NanoDollars:
    """Raises ValueError for what is no number, too much (2^53 nano-dollars) or finer than one."""
    try:
        amount = Decimal(text) * NANO
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount of dollars") from None
    if not amount.is_finite() or abs(amount) >= _MOST or amount != amount.to_integral_value():
        raise ValueError(f"{text!r} is too much, or finer than a nano-dollar")
    return NanoDollars(int(amount))
