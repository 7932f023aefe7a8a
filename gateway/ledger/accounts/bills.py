"""What a provider says that it charged: OpenAI's costs, or a CSV file. Pure.

A provider's day is a day in UTC.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from gateway.ledger.records import NANO, NanoDollars

ALL_MODELS = "*"
"""Stands for the model where a bill names none."""

DEFAULT_COLUMNS: Mapping[str, str] = {"day": "day", "model": "model", "cost": "cost"}

BILLED_AFTER = timedelta(days=1)
"""Providers take their time: before that, what a bill lacks may still come."""


class UnreadableBill(ValueError):
    """``str()`` says what is wrong with it and what to do."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Sums by (day, model). ``by_model`` False: the bill names no models, and all stand under
    ``ALL_MODELS``. ``days`` are those that it is about, be it to say that nothing was charged."""

    amounts: Mapping[tuple[date, str], NanoDollars]
    by_model: bool
    days: frozenset[date]


def from_costs(text: str) -> Bill:
    """OpenAI's ``GET /v1/organization/costs``: one page, or a JSON list of pages. It is to be asked for with
    ``group_by=line_item``, else it names no models. Raises :class:`UnreadableBill`."""
    try:
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        raise UnreadableBill("The costs are not JSON.") from None
    return of_pages(found if isinstance(found, list) else [found])


def of_pages(pages: Sequence[object]) -> Bill:
    """The same of pages that were parsed with numbers as Decimal."""
    lines: list[tuple[date, str | None, Decimal]] = []
    days: set[date] = set()
    for page in pages:
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise UnreadableBill("The costs are not a page of OpenAI's: an object with a list 'data'.")
        for bucket in page["data"]:
            try:
                day = datetime.fromtimestamp(int(bucket["start_time"]), UTC).date()
                days.add(day)
                lines += [(day, _model(result), _dollars(result["amount"])) for result in bucket["results"]]
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise UnreadableBill(f"A bucket of the costs cannot be read: {error}.") from None
    if pages and isinstance(pages[-1], dict) and pages[-1].get("has_more"):
        raise UnreadableBill(
            "The costs end with has_more: true. Fetch the further pages too (page=NEXT_PAGE), or ask for "
            "limit=31, and give all pages as one JSON list."
        )
    return _bill(lines, days)


def from_csv(text: str, columns: Mapping[str, str] = DEFAULT_COLUMNS) -> Bill:
    """A CSV with a header. ``columns`` says which columns are the day (ISO 8601, a moment counts as its day
    in UTC), the model (may be absent) and the cost in dollars. Raises :class:`UnreadableBill`."""
    reader = csv.DictReader(text.lstrip("\ufeff").splitlines())
    there = reader.fieldnames or ()
    lacking = [name for name in ("day", "cost") if columns.get(name) not in there]
    if lacking:
        raise UnreadableBill(
            f"The CSV has no column '{columns.get(lacking[0])}' for the {lacking[0]}; it has "
            f"{', '.join(there) or 'none'}. Say which is which: --map day=Date,model=Model,cost=Amount."
        )
    lines: list[tuple[date, str | None, Decimal]] = []
    for number, row in enumerate(reader, 2):
        if not any(row.values()):
            continue
        try:
            day = _day(row[columns["day"]] or "")
            lines.append(
                (day, row.get(columns.get("model", "")) or None, Decimal(_plain(row[columns["cost"]])))
            )
        except (ValueError, InvalidOperation):
            raise UnreadableBill(f"Row {number} of the CSV cannot be read: {dict(row)}.") from None
    return _bill(lines, {day for day, _, _ in lines})


def billed_until(now: datetime) -> date:
    """The first day that a bill may not be complete for."""
    return now.astimezone(UTC).date() - BILLED_AFTER


def _bill(lines: Iterable[tuple[date, str | None, Decimal]], days: Iterable[date]) -> Bill:
    exact: dict[tuple[date, str | None], Decimal] = defaultdict(Decimal)
    for day, model, dollars in lines:
        exact[day, model] += dollars
    amounts = {place: _nano(dollars) for place, dollars in exact.items()}
    named = {model for (_, model), amount in amounts.items() if model is not None and amount}
    unnamed = any(amount for (_, model), amount in amounts.items() if model is None)
    if named and unnamed:
        raise UnreadableBill(
            "Some costs name a model and some do not; ask for them by line item (group_by=line_item)."
        )
    if unnamed:
        return Bill(
            {(day, ALL_MODELS): amount for (day, model), amount in amounts.items()}, False, frozenset(days)
        )
    told = {(day, model): amount for (day, model), amount in amounts.items() if model is not None}
    return Bill(told, True, frozenset(days))


def _model(result: Mapping[str, object]) -> str | None:
    """``gpt-image-2, image output tokens`` is of gpt-image-2."""
    item = result.get("line_item")
    return None if item is None else str(item).partition(",")[0].strip()


def _dollars(amount: Mapping[str, object]) -> Decimal:
    currency = str(amount.get("currency", "usd")).lower()
    if currency != "usd":
        raise ValueError(f"an amount in {currency}, and the ledger is in usd")
    try:
        return Decimal(str(amount["value"]))
    except InvalidOperation:
        raise ValueError(f"an amount of {amount['value']!r}") from None


def _nano(dollars: Decimal) -> NanoDollars:
    if not dollars.is_finite():
        raise UnreadableBill("An amount is not a number.")
    return NanoDollars(int((dollars * NANO).quantize(Decimal(1), ROUND_HALF_EVEN)))


def _day(text: str) -> date:
    if len(text) == len("2026-11-20"):
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).date()


def _plain(text: str | None) -> str:
    return (text or "0").strip().lstrip("$").replace(",", "")
