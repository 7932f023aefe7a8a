"""What the body of an operation of the accounts says, checked. What is wrong with it is an
:class:`gateway.errors.InvalidRequest` that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from gateway.errors import InvalidRequest
from gateway.ledger.accounts.accounts import Cursor
from gateway.ledger.accounts.live import Position
from gateway.ledger.accounts.money import exact, nano
from gateway.ledger.accounts.reconciliation import Tolerance
from gateway.ledger.tables import from_micros

Body = Mapping[str, object]

LONGEST_TEXT = 256


def text(body: Body, name: str, default: str | None = None) -> str:
    """One printable line of 1 to ``LONGEST_TEXT`` characters; with a default it may be left out."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not value.isprintable():
        raise InvalidRequest(
            f"'{name}' must be text of 1 to {LONGEST_TEXT} printable characters.", param=name
        )
    return value


def theirs(body: Body) -> dict[tuple[date, str], int]:
    """What a bill says of each day and model, nano-dollars."""
    given = body.get("theirs")
    sums: dict[tuple[date, str], int] = {}
    try:
        for day, model, amount in given if isinstance(given, list) else ():
            place = (date.fromisoformat(day), str(model))
            sums[place] = sums.get(place, 0) + int(amount)
    except (TypeError, ValueError):
        raise InvalidRequest(
            "'theirs' must be a list of [day, model, nano-dollars].", param="theirs"
        ) from None
    return sums


def days(body: Body, name: str) -> list[date]:
    given = body.get(name)
    try:
        if not isinstance(given, list):
            raise TypeError
        return [date.fromisoformat(day) for day in given]
    except (TypeError, ValueError):
        raise InvalidRequest(f"'{name}' must be a list of days such as 2026-11-20.", param=name) from None


def tolerance(body: Body) -> Tolerance:
    usual = Tolerance()
    try:
        amount = nano(text(body, "tolerance_usd", exact(usual.amount)))
        share = Decimal(text(body, "tolerance_share", str(usual.share)))
    except (ValueError, InvalidOperation):
        raise InvalidRequest(
            "A tolerance is dollars such as 0.01, and a share such as 0.005.", param="tolerance_usd"
        ) from None
    if amount < 0 or not 0 <= share < 1:
        raise InvalidRequest("A tolerance is not negative, and a share is below 1.", param="tolerance_usd")
    return Tolerance(amount, share)


def cursor(body: Body) -> Cursor:
    given = body.get("cursor")
    try:
        if not isinstance(given, Mapping):
            raise TypeError
        at = given["after"]
        after = None if at is None else Position(from_micros(int(at[0])), str(at[1]))
        return Cursor(int(given["chunk"]), after, bool(given["rest"]))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise InvalidRequest("'cursor' must be one that the step before answered.", param="cursor") from None
