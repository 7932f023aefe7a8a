"""The accounts as operations of gateway/ledger/administration.py: JSON in, JSON out."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from config.catalog import Catalog
from config.schema import OrganizationSettings
from gateway.errors import InvalidRequest
from gateway.ledger.accounts.accounts import Accounts, Cursor
from gateway.ledger.accounts.bills import ALL_MODELS
from gateway.ledger.accounts.closing import ClosedMonth, Closer
from gateway.ledger.accounts.credits import Credit
from gateway.ledger.accounts.journal import signing_key
from gateway.ledger.accounts.lines import Names
from gateway.ledger.accounts.live import Position
from gateway.ledger.accounts.money import exact, nano
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.reconciliation import Comparison, ModelNames, Tolerance
from gateway.ledger.accounts.scopes import Declared
from gateway.ledger.tables import from_micros, to_micros

Json = dict[str, Any]
Body = Mapping[str, object]

LONGEST_TEXT = 256

BILLED_AFTER = timedelta(days=1)
"""Providers take their time: before that, what a bill lacks may still come."""


class AccountOperations:
    """``catalog`` tells dated names of one model and pictures from all else on a bill. ``pepper`` is asked
    only where something is signed or checked; ``model_of`` and ``on_credit`` as of
    :class:`gateway.ledger.administration.Administration`."""

    def __init__(
        self,
        accounts: Accounts,
        organization: OrganizationSettings,
        catalog: Catalog,
        pepper: Callable[[], bytes],
        model_of: Callable[[str], str],
        on_credit: Callable[[], Awaitable[None]],
    ) -> None:
        self._accounts = accounts
        self._organization = organization
        self._by_model = names_in(catalog)
        self._pepper = pepper
        self._model_of = model_of
        self._on_credit = on_credit

    @property
    def table(self) -> Mapping[str, Callable[[Body], Awaitable[Json]]]:
        return {
            "accounts/months": self.months,
            "accounts/close": self.close,
            "accounts/export": self.export,
            "accounts/lines": self.lines,
            "accounts/credit": self.credit,
            "accounts/void": self.void,
            "accounts/credits": self.credits,
            "accounts/journal": self.journal,
            "accounts/reconcile": self.reconcile,
        }

    async def months(self, body: Body) -> Json:
        """→ the closed months, and the oldest that is open."""
        zone = ZoneInfo(self._organization.timezone)
        due = await self._accounts.next_to_close(zone)
        return {
            "months": [month_json(month) for month in await self._accounts.months()],
            "next": None if due is None else str(due),
        }

    async def close(self, body: Body) -> Json:
        """month, who, and ``closing`` as the step before answered it → ``closed`` (the month) or None, while
        there is more to do."""
        month = Month.parse(_text(body, "month"))
        closing_id = _text(body, "closing", f"closing_{secrets.token_hex(12)}")
        closer = Closer(
            closing_id,
            self._organization.timezone,
            self._organization.name,
            _text(body, "who"),
            signing_key(self._pepper()),
        )
        closed = await self._accounts.close(month, closer, self._names())
        return {
            "closing": closing_id,
            "closed": None if closed is None else month_json(closed),
            "already": closed is not None and closed.closing_id != closing_id,
        }

    async def export(self, body: Body) -> Json:
        """month → what an export begins with, and the ``cursor`` for its lines."""
        month = Month.parse(_text(body, "month"))
        head = await self._accounts.head(month, self._organization.timezone, self._organization.name)
        return {
            "month": str(month),
            "starts_at": _iso(head.span.start),
            "ends_at": _iso(head.span.end),
            "timezone": head.timezone,
            "organization": head.organization,
            "labels": list(head.labels),
            "tags": list(head.tags),
            "closed": None if head.closed is None else month_json(head.closed),
            "cursor": _cursor_json(Cursor()),
        }

    async def lines(self, body: Body) -> Json:
        """month, cursor → lines as lists (:class:`gateway.ledger.accounts.lines.Line`), the ``digest`` of a
        closed month's piece, and the next ``cursor``, None at the end."""
        month = Month.parse(_text(body, "month"))
        piece = await self._accounts.piece(month, _cursor(body), self._organization.timezone, self._names())
        return {
            "lines": piece.lines,
            "digest": piece.digest,
            "cursor": None if piece.then is None else _cursor_json(piece.then),
        }

    async def credit(self, body: Body) -> Json:
        """scope, model, usd (decimal text), reason, who → the credit."""
        try:
            amount = nano(_text(body, "usd"))
        except ValueError:
            raise InvalidRequest(
                "'usd' must be dollars with at most nine decimals, such as 5 or 0.50.", param="usd"
            ) from None
        model = None if body.get("model") is None else self._model_of(_text(body, "model"))
        credit = await self._accounts.give(
            _text(body, "scope"),
            model,
            amount,
            reason=_text(body, "reason"),
            entered_by=_text(body, "who"),
            declared=self._declared(),
            signing_key=signing_key(self._pepper()),
        )
        await self._on_credit()
        return credit_json(credit)

    async def void(self, body: Body) -> Json:
        """id, reason, who → the entry that takes the credit back."""
        credit = await self._accounts.void(
            _text(body, "id"),
            reason=_text(body, "reason"),
            entered_by=_text(body, "who"),
            signing_key=signing_key(self._pepper()),
        )
        await self._on_credit()
        return credit_json(credit)

    async def credits(self, body: Body) -> Json:
        """→ all credits, oldest first, and whether they are as they were signed."""
        book = await self._accounts.book(signing_key(self._pepper()))
        return {
            "credits": [credit_json(credit) for credit in await self._accounts.credits()],
            "entries": len(book.entries),
            "broken": book.broken,
            "altered": list(book.altered),
        }

    async def journal(self, body: Body) -> Json:
        """→ who did what, oldest first, and whether it is as it was signed."""
        book = await self._accounts.book(signing_key(self._pepper()))
        entries = [
            {**asdict(entry), "at": _iso(entry.at), "body": dict(entry.body)} for entry in book.entries
        ]
        return {"entries": entries, "broken": book.broken, "altered": list(book.altered)}

    async def reconcile(self, body: Body) -> Json:
        """provider, days, billed (days), theirs ([day, model, nano-dollars] each), by_model, tolerance_usd,
        tolerance_share, resolve, source, who → a row for each day and model, and the models of the bill that
        were left out: neither used through the gateway nor in the catalog, so of something else."""
        provider, days, billed = _text(body, "provider"), _days(body, "days"), _days(body, "billed")
        if not days:
            raise InvalidRequest("'days' is empty.", param="days")
        by_model = body.get("by_model") is not False
        theirs, names = _theirs(body), self._by_model if by_model else BY_DAY
        tolerance = _tolerance(body)
        if body.get("resolve") is True:
            _check_billed_by_now(days)
            found = await self._accounts.reconcile(
                provider,
                days,
                theirs,
                tolerance,
                names,
                billed,
                source=_text(body, "source", ""),
                entered_by=_text(body, "who"),
                signing_key=signing_key(self._pepper()),
            )
        else:
            found = await self._accounts.compare(provider, days, theirs, tolerance, names, billed)
        compared = {each.model for each in found}
        return {
            "rows": [comparison_json(each, tolerance) for each in found],
            "ignored": sorted({model for _, model in theirs if names.one(model) not in compared}),
        }

    def _names(self) -> Names:
        return Names(
            {project.project_id: project.name for project in self._organization.projects},
            {key_id: name for _, key_id, name in self._declared_keys()},
        )

    def _declared(self) -> Declared:
        return Declared(
            {project.name: project.project_id for project in self._organization.projects},
            {key_id: project_id for project_id, key_id, _ in self._declared_keys()},
        )

    def _declared_keys(self) -> list[tuple[str, str, str]]:
        """Project id, key id and name of those in the file; ids as ``declared_key_id`` makes them."""
        return [
            (project.project_id, f"{project.project_id}/{key.name}", key.name)
            for project in self._organization.projects
            for key in project.keys
        ]


def month_json(month: ClosedMonth) -> Json:
    return {
        "month": str(month.span.month),
        "starts_at": _iso(month.span.start),
        "ends_at": _iso(month.span.end),
        "timezone": month.timezone,
        "closed_at": _iso(month.closed_at),
        "closed_by": month.closed_by,
        "lines": month.lines,
        "attempts": month.attempts,
        "cost_usd": exact(month.cost),
        "credits_usd": exact(month.credits),
        "unknown_usd": exact(month.unknown),
        "unknown_lines": month.unknown_lines,
        "digest": month.digest,
    }


def credit_json(credit: Credit) -> Json:
    return {
        "id": credit.credit_id,
        "entered_at": _iso(credit.entered_at),
        "counts_at": _iso(credit.counts_at),
        "scope": credit.scope,
        "usd": exact(credit.amount),
        "reason": credit.reason,
        "who": credit.entered_by,
        "voids": credit.voids,
    }


def comparison_json(found: Comparison, tolerance: Tolerance) -> Json:
    return {
        "day": found.day.isoformat(),
        "model": found.model,
        "ours_usd": exact(found.ours),
        "theirs_usd": exact(found.theirs),
        "delta_usd": exact(found.delta),
        "unknown_usd": exact(found.unknown),
        "unknown_lines": found.unknown_lines,
        "verdict": str(found.verdict),
        "within": tolerance.covers(found.delta, found.theirs),
        "resolution": {
            attempt_id: None if cost is None else exact(cost) for attempt_id, cost in found.resolution.items()
        },
    }


def names_in(catalog: Catalog) -> ModelNames:
    """The catalog's models, each with its dated names."""

    def named(model: str) -> str:
        entry = catalog.get(model)
        return model if entry is None else entry.id

    return ModelNames(named, lambda model: catalog.get(model) is not None)


BY_DAY = ModelNames(lambda _: ALL_MODELS, lambda _: True)


def _theirs(body: Body) -> dict[tuple[date, str], int]:
    given = body.get("theirs")
    theirs: dict[tuple[date, str], int] = {}
    try:
        for day, model, amount in given if isinstance(given, list) else ():
            place = (date.fromisoformat(day), str(model))
            theirs[place] = theirs.get(place, 0) + int(amount)
    except (TypeError, ValueError):
        raise InvalidRequest(
            "'theirs' must be a list of [day, model, nano-dollars].", param="theirs"
        ) from None
    return theirs


def _days(body: Body, name: str) -> list[date]:
    given = body.get(name)
    try:
        if not isinstance(given, list):
            raise TypeError
        return [date.fromisoformat(day) for day in given]
    except (TypeError, ValueError):
        raise InvalidRequest(f"'{name}' must be a list of days such as 2026-11-20.", param=name) from None


def _check_billed_by_now(days: Sequence[date]) -> None:
    if max(days) >= billed_until(datetime.now(UTC)):
        raise InvalidRequest(
            "A bill is complete a day after a day has ended at the earliest; resolve that day then.",
            param="days",
        )


def billed_until(now: datetime) -> date:
    """The first day that a bill may not be complete for."""
    return now.astimezone(UTC).date() - BILLED_AFTER


def _tolerance(body: Body) -> Tolerance:
    usual = Tolerance()
    try:
        amount = nano(_text(body, "tolerance_usd", exact(usual.amount)))
        share = Decimal(_text(body, "tolerance_share", str(usual.share)))
    except (ValueError, InvalidOperation):
        raise InvalidRequest(
            "A tolerance is dollars such as 0.01, and a share such as 0.005.", param="tolerance_usd"
        ) from None
    if amount < 0 or not 0 <= share < 1:
        raise InvalidRequest("A tolerance is not negative, and a share is below 1.", param="tolerance_usd")
    return Tolerance(amount, share)


def _cursor(body: Body) -> Cursor:
    given = body.get("cursor")
    try:
        if not isinstance(given, Mapping):
            raise TypeError
        at = given["after"]
        after = None if at is None else Position(from_micros(int(at[0])), str(at[1]))
        return Cursor(int(given["chunk"]), after, bool(given["rest"]))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise InvalidRequest("'cursor' must be one that the step before answered.", param="cursor") from None


def _cursor_json(cursor: Cursor) -> Json:
    after = cursor.after
    return {
        "chunk": cursor.chunk,
        "after": None if after is None else [to_micros(after.received_at), after.request_id],
        "rest": cursor.rest,
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _text(body: Body, name: str, default: str | None = None) -> str:
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not value.isprintable():
        raise InvalidRequest(
            f"'{name}' must be text of 1 to {LONGEST_TEXT} printable characters.", param=name
        )
    return value
