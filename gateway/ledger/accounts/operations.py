"""The accounts as operations of gateway/ledger/administration.py: JSON in, JSON out."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from config.catalog import Catalog
from config.organization import OrganizationSettings
from gateway.errors import InvalidRequest
from gateway.ledger.accounts import bodies
from gateway.ledger.accounts.accounts import Accounts, Cursor
from gateway.ledger.accounts.answers import Json, comparison_json, credit_json, cursor_json, iso, month_json
from gateway.ledger.accounts.bills import billed_until
from gateway.ledger.accounts.bodies import Body
from gateway.ledger.accounts.closing import Closer
from gateway.ledger.accounts.journal import signing_key
from gateway.ledger.accounts.lines import Names
from gateway.ledger.accounts.model_names import BY_DAY, names_in
from gateway.ledger.accounts.money import nano
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.scopes import Declared


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
        month = Month.parse(bodies.text(body, "month"))
        closing_id = bodies.text(body, "closing", f"closing_{secrets.token_hex(12)}")
        closer = Closer(
            closing_id,
            self._organization.timezone,
            self._organization.name,
            bodies.text(body, "who"),
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
        month = Month.parse(bodies.text(body, "month"))
        head = await self._accounts.head(month, self._organization.timezone, self._organization.name)
        return {
            "month": str(month),
            "starts_at": iso(head.span.start),
            "ends_at": iso(head.span.end),
            "timezone": head.timezone,
            "organization": head.organization,
            "labels": list(head.labels),
            "tags": list(head.tags),
            "closed": None if head.closed is None else month_json(head.closed),
            "cursor": cursor_json(Cursor()),
        }

    async def lines(self, body: Body) -> Json:
        """month, cursor → lines as lists (:class:`gateway.ledger.accounts.lines.Line`), the ``digest`` of a
        closed month's piece, and the next ``cursor``, None at the end."""
        month = Month.parse(bodies.text(body, "month"))
        piece = await self._accounts.piece(
            month, bodies.cursor(body), self._organization.timezone, self._names()
        )
        return {
            "lines": piece.lines,
            "digest": piece.digest,
            "cursor": None if piece.then is None else cursor_json(piece.then),
        }

    async def credit(self, body: Body) -> Json:
        """scope, model, usd (decimal text), reason, who → the credit."""
        try:
            amount = nano(bodies.text(body, "usd"))
        except ValueError:
            raise InvalidRequest(
                "'usd' must be dollars with at most nine decimals, such as 5 or 0.50.", param="usd"
            ) from None
        model = None if body.get("model") is None else self._model_of(bodies.text(body, "model"))
        credit = await self._accounts.give(
            bodies.text(body, "scope"),
            model,
            amount,
            reason=bodies.text(body, "reason"),
            entered_by=bodies.text(body, "who"),
            declared=self._declared(),
            signing_key=signing_key(self._pepper()),
        )
        await self._on_credit()
        return credit_json(credit)

    async def void(self, body: Body) -> Json:
        """id, reason, who → the entry that takes the credit back."""
        credit = await self._accounts.void(
            bodies.text(body, "id"),
            reason=bodies.text(body, "reason"),
            entered_by=bodies.text(body, "who"),
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
        entries = [{**asdict(entry), "at": iso(entry.at), "body": dict(entry.body)} for entry in book.entries]
        return {"entries": entries, "broken": book.broken, "altered": list(book.altered)}

    async def reconcile(self, body: Body) -> Json:
        """provider, days, billed (days), theirs ([day, model, nano-dollars] each), by_model, tolerance_usd,
        tolerance_share, resolve, source, who → a row for each day and model, and the models of the bill that
        were left out: neither used through the gateway nor in the catalog, so of something else."""
        provider, days, billed = (
            bodies.text(body, "provider"),
            bodies.days(body, "days"),
            bodies.days(body, "billed"),
        )
        if not days:
            raise InvalidRequest("'days' is empty.", param="days")
        by_model = body.get("by_model") is not False
        theirs, names = bodies.theirs(body), self._by_model if by_model else BY_DAY
        tolerance = bodies.tolerance(body)
        if body.get("resolve") is True:
            _check_billed_by_now(days)
            found = await self._accounts.reconcile(
                provider,
                days,
                theirs,
                tolerance,
                names,
                billed,
                source=bodies.text(body, "source", ""),
                entered_by=bodies.text(body, "who"),
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


def _check_billed_by_now(days: Sequence[date]) -> None:
    if max(days) >= billed_until(datetime.now(UTC)):
        raise InvalidRequest(
            "A bill is complete a day after a day has ended at the earliest; resolve that day then.",
            param="days",
        )
