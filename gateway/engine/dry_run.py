"""What a call would be sent as, what it would cost and whether it would be admitted. Nothing is called, held
or written.

The first keys of the document are those of Lumenfall's dry run; the rest says why. Amounts are exact: dollars
as text, micro-dollars as whole numbers rounded up; an amount that cannot be known is null, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from gateway.caller import Caller
from gateway.engine.alternatives import alternatives
from gateway.engine.answer import RequestFacts
from gateway.engine.explained import (
    Document,
    amount,
    candidate_told,
    components_told,
    excluded_told,
    micros,
    range_told,
    routing_told,
)
from gateway.engine.planning import Planned
from gateway.engine.quote import Quote, quote, reservations
from gateway.engine.refusals import described, refusal
from gateway.errors import GatewayError, InvalidRequest
from gateway.images.call import ImageCall
from gateway.quota.errors import QuotaUnavailable
from gateway.quota.forecast import forecast, need
from gateway.quota.of_settings import DeclaredLimit, LimitBook
from gateway.quota.outcomes import Reservation, Standing
from gateway.quota.terms import Limit
from gateway.routing.directory import PublicModel
from gateway.routing.selection import Order


class Standings(Protocol):
    """What this needs of the quota store. Raises :class:`gateway.quota.errors.QuotaUnavailable`."""

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]: ...


class Planner(Protocol):
    """What this needs of the planning."""

    async def plan(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Planned: ...

    def order(self, planned: Planned, now: float) -> Order: ...


class DryRuns:
    """Tells of calls without making them. ``standings`` None: nobody is there to say where limits stand."""

    def __init__(self, planning: Planner, book: LimitBook, standings: Standings | None) -> None:
        self._planning = planning
        self._book = book
        self._standings = standings

    async def tell(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Document:
        """The whole document. Raises :class:`GatewayError` where the real call would be refused before any
        limit is asked."""
        planned = await self._planning.plan(call, model, caller, facts)
        steady, now = perf_counter(), datetime.now(UTC)
        found = self._planning.order(planned, steady)
        call, model = planned.call, planned.model
        limits = self._book.limits_for(
            caller.project_id,
            caller.key_id,
            model=model.name,
            end_user=call.end_user or facts.end_user,
            now=now,
        )
        # Where every target is left alone now, what it would have cost is told of all that could serve it.
        candidates = planned.ordered(found) or planned.candidates
        quotes = [quote(candidate, now.date()) for candidate in candidates]
        first, wanted = _first_to_go(quotes, call, model, limits)
        total = first.total
        return {
            "estimated": True,
            "model": model.name,
            "provider": first.candidate.target.provider,
            "total_cost_micros": None if total is None else micros(total.expected),
            "currency": "USD",
            "components": components_told(first),
            "cost_range": range_told(first),
            "held": None if total is None else {**amount(total.high), "tokens": total.tokens},
            "limits": await self._standing(first, wanted, limits, call, model, caller, now),
            "plan": [candidate_told(each) for each in quotes],
            "excluded": [excluded_told(each) for each in planned.excluded],
            "routing": routing_told(planned, found, steady),
        }

    async def _standing(
        self,
        first: Quote,
        wanted: Sequence[Reservation] | GatewayError,
        limits: Sequence[DeclaredLimit],
        call: ImageCall,
        model: PublicModel,
        caller: Caller,
        now: datetime,
    ) -> Document:
        """Whether the calls would be admitted now: false with the error that the real call would get, null
        where nobody can tell."""
        if isinstance(wanted, GatewayError):
            return {"admitted": False, "error": _error(wanted), "applying": []}
        if self._standings is None:
            applying = [_declared(limit, need(wanted, limit)) for limit in limits]
            return {"admitted": None if limits else True, "error": None, "applying": applying}
        try:
            standings = await self._standings.standing(limits)
        except QuotaUnavailable as away:
            return {"admitted": None, "error": _error(away), "applying": []}
        refused, error = forecast(wanted, standings, now), None
        if refused is not None:
            error = _error(refusal(refused, caller, model.name, alternatives(first, call.n), now=now))
        applying = [described(each, need(wanted, each.limit)) for each in standings]
        return {"admitted": refused is None, "error": error, "applying": applying}


def _first_to_go(
    quotes: Sequence[Quote], call: ImageCall, model: PublicModel, limits: Sequence[DeclaredLimit]
) -> tuple[Quote, Sequence[Reservation] | GatewayError]:
    """The first candidate whose price the limits can count, as the engine goes on to it, and what it takes;
    else the first of all, and why not."""
    refusals: list[GatewayError] = []
    for each in quotes:
        try:
            return each, reservations(each, model.name, limits, "dry-run", images=call.n)
        except InvalidRequest as unknown:
            refusals.append(unknown)
    return quotes[0], refusals[0]


def _declared(limit: DeclaredLimit, needed: int) -> Document:
    """A limit of the configuration, where nobody says how much of it is left."""
    nothing = Standing(limit, "", 0, 0, 0, None)
    known = ("scope", "model", "measure", "per", "rolling", "shadow", "limit", "needed")
    return {name: value for name, value in described(nothing, needed).items() if name in known}


def _error(error: GatewayError) -> Document:
    """As the envelope of the real call would say it."""
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        "status": int(error.status),
    }
