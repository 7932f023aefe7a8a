"""Before a provider is called: what the call can cost, room for that under every limit, a durable row, and
leave to send. The order of writes is what makes a crash anywhere harmless::

    reserve    all limits of all scopes, or nothing            (quota)
    record     the request's and the attempt's rows, durable   (ledger)
    dispatch   the hold becomes leave to send                  (quota)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from config.prices import PriceVersion
from gateway.engine.alerts import Alerts
from gateway.engine.alternatives import alternatives
from gateway.engine.answer import CLIENT_GONE
from gateway.engine.job import Job
from gateway.engine.quote import Quote, quote, reservations
from gateway.engine.refusals import noted, rate_headers, refusal
from gateway.engine.served import Served
from gateway.errors import Unavailable
from gateway.images.call import ImageCall
from gateway.images.estimate import PriceRange
from gateway.images.estimates import Estimates
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt
from gateway.ledger.store import Unasked
from gateway.quota.holds import DispatchedHold, Hold, State
from gateway.quota.keeper import Keeper
from gateway.quota.of_settings import LimitBook
from gateway.quota.outcomes import End, Refused
from gateway.quota.store import QuotaStore
from gateway.routing.directory import Target
from gateway.routing.plan import Candidate
from gateway.telemetry import meters

_log = structlog.get_logger("imagegate.engine")

_LEFT = "The client left before its call was sent to any provider; nothing was spent."


@dataclass(frozen=True, slots=True)
class Admission:
    """One attempt that may be sent: ``call`` as ``target`` takes it. ``price`` is the version that settles
    it, ``held`` the estimate that it was admitted with (None where the price is not known and no dollar limit
    applies)."""

    target: Target
    call: ImageCall
    attempt: NewAttempt
    leave: DispatchedHold
    price: PriceVersion | None
    held: PriceRange | None

    @property
    def hold(self) -> Hold:
        return self.leave.hold


class Admissions:
    """Admits attempts. One per process."""

    def __init__(
        self,
        store: QuotaStore,
        keeper: Keeper,
        ledger: Ledger,
        book: LimitBook,
        alerts: Alerts,
        estimates: Estimates,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._ledger = ledger
        self._book = book
        self._alerts = alerts
        self._estimates = estimates

    async def admit(self, job: Job, candidate: Candidate, ended: Sequence[End] = ()) -> Sequence[Admission]:
        """Admit the job's next attempts: one for each batch of ``candidate``, all or none. ``ended`` are its
        earlier attempts, given back in the same step.

        Raises :class:`gateway.errors.GatewayError`: refused by a limit, price unknown under a dollar limit,
        or a store that is away. Nothing was sent and nothing is held then.
        """
        now = datetime.now(UTC)
        limits = self._book.limits_for(
            job.caller.project_id, job.caller.key_id, model=job.model.name, end_user=job.end_user, now=now
        )
        quoted = quote(candidate, now.date(), self._estimates.of)
        wanted = reservations(
            quoted,
            job.model.name,
            limits,
            job.facts.request_id,
            images=job.call.n,
            made=job.attempts,
        )
        outcome = await self._store.reserve(wanted, ended)
        refused = outcome.bindings if isinstance(outcome, Refused) else ()
        self._alerts.consider(outcome.standings, (*refused, *outcome.shadowed), now=now)
        for trial in outcome.shadowed:
            _log.info("limit_would_refuse", counter=trial.limit.counter, needed=trial.needed)
        if isinstance(outcome, Refused):
            job.facts.notes.update(noted(outcome))
            offers = alternatives(quoted, job.call.n, self._estimates.of)
            raise refusal(outcome, job.caller, job.model.name, offers, now=now)
        if not outcome.enforced:
            meters.unenforced_admits.add(1, {"project": job.caller.project_id})
        job.rate_lines = rate_headers(outcome.standings, now, enforced=outcome.enforced)
        job.served = Served(candidate)
        return await self._recorded(job, quoted, outcome.holds, now)

    async def _recorded(
        self, job: Job, quoted: Quote, holds: Sequence[Hold], asked: datetime
    ) -> Sequence[Admission]:
        """``asked`` is when the store was: no lease began before it."""
        target, price = quoted.candidate.target, quoted.price
        held = [each if isinstance(each, PriceRange) else None for each in quoted.estimates]
        attempts = [
            replace(
                job.new_attempt(quoted.candidate, call, hold, price, known),
                lease_ends=_lease_ends(hold, asked),
            )
            for call, hold, known in zip(quoted.calls, holds, held, strict=True)
        ]
        try:
            await self._ledger.record(*([] if job.recorded else [job.new_request()]), *attempts)
        except Unasked:
            await self._give_back(holds)
            raise
        except BaseException:
            # Rows whose writing failed, or was not waited for, may have been written all the same.
            await self._not_sent(attempts, holds)
            raise
        job.recorded = True
        try:
            if job.facts.gone():
                raise Unavailable(_LEFT, code="client_gone_early", status=CLIENT_GONE)
            leaves = await self._leaves(holds)
        except Unavailable:
            # What the holds have become decides nothing any more: these calls are not sent.
            await self._not_sent(attempts, holds)
            raise
        for hold in holds:
            self._keeper.watch(hold)
        return [
            Admission(target, call, attempt, leave, price, known)
            for call, attempt, leave, known in zip(quoted.calls, attempts, leaves, held, strict=True)
        ]

    async def _leaves(self, holds: Sequence[Hold]) -> Sequence[DispatchedHold]:
        """Leave to send for all, else raises. The first comes last: with its dispatch the request and its
        images count for good, though no leave may follow for another."""
        first, *others = holds
        leaves: list[DispatchedHold] = []
        if others:
            dispatched = (self._store.dispatch(hold) for hold in others)
            for each in await asyncio.gather(*dispatched, return_exceptions=True):
                if isinstance(each, BaseException):
                    raise each
                leaves.append(each)
        return [await self._store.dispatch(first), *leaves]

    async def _not_sent(self, attempts: Sequence[NewAttempt], holds: Sequence[Hold]) -> None:
        now, released = datetime.now(UTC), AttemptState.RELEASED
        try:
            with suppress(Unavailable):
                await self._ledger.record(
                    *(AttemptEnd(each.attempt_id, released, now, sent=False) for each in attempts)
                )
        finally:
            await self._give_back(holds)

    async def _give_back(self, holds: Sequence[Hold]) -> None:
        await self._store.end([End(hold, State.RELEASED, sent=False) for hold in holds], by_ledger=False)


def _lease_ends(hold: Hold, asked: datetime) -> datetime | None:
    """By our clock, which the store's may differ from. A hold that no store has taken (epoch 0) is reaped by
    nobody."""
    return asked + timedelta(milliseconds=hold.lease_ms) if hold.epoch else None
