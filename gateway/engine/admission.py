"""Before a provider is called: what the call can cost, room for that under every limit, a durable row, and
leave to send. The order of writes is what makes a crash anywhere harmless::

    reserve    all limits of all scopes, or nothing            (quota)
    record     the request's and the attempt's rows, durable   (ledger)
    dispatch   the hold becomes leave to send                  (quota)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from config.prices import PriceVersion
from gateway.engine.alerts import Alerts
from gateway.engine.answer import CLIENT_GONE
from gateway.engine.job import Job
from gateway.engine.refusals import Alternative, noted, price_unknown, rate_headers, refusal
from gateway.errors import Unavailable
from gateway.images.estimate import PriceRange, Unpriced, estimate
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt
from gateway.quota.holds import DispatchedHold, Hold
from gateway.quota.keeper import Keeper
from gateway.quota.of_settings import DeclaredLimit, LimitBook
from gateway.quota.outcomes import Admitted, End, Refused, Reservation
from gateway.quota.store import QuotaStore
from gateway.quota.terms import Measure
from gateway.routing.directory import Target

_log = structlog.get_logger("imagegate.engine")

_LEFT = "The client left before its call was sent to any provider; nothing was spent."


@dataclass(frozen=True, slots=True)
class Admission:
    """One attempt that may be sent. ``price`` is the version that settles it, ``held`` the estimate that it
    was admitted with (None where the price is not known and no dollar limit applies)."""

    target: Target
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
        self, store: QuotaStore, keeper: Keeper, ledger: Ledger, book: LimitBook, alerts: Alerts
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._ledger = ledger
        self._book = book
        self._alerts = alerts

    async def admit(self, job: Job, target: Target, ended: Sequence[End] = ()) -> Admission:
        """Admit the job's next attempt. ``ended`` are its earlier attempts, given back in the same step.

        Raises :class:`gateway.errors.GatewayError`: refused by a limit, price unknown under a dollar limit,
        or a store that is away. Nothing was sent and nothing is held then.
        """
        now = datetime.now(UTC)
        limits = self._book.limits_for(
            job.caller.project_id, job.caller.key_id, model=job.model.name, end_user=job.end_user, now=now
        )
        price = target.entry.price_on(now.date())
        priced = estimate(target.entry, price, job.call, job.call.inputs)
        rid = f"{job.facts.request_id}/{job.attempts + 1}"
        reservation = Reservation(rid, _amounts(job, priced, limits), limits)
        outcome = await self._store.reserve([reservation], ended)
        refused = outcome.bindings if isinstance(outcome, Refused) else ()
        self._alerts.consider(outcome.standings, (*refused, *outcome.shadowed), now=now)
        for trial in outcome.shadowed:
            _log.info("limit_would_refuse", counter=trial.limit.counter, needed=trial.needed)
        if isinstance(outcome, Refused):
            job.facts.notes.update(noted(outcome))
            alternatives = _alternatives(job, target, price, limits)
            raise refusal(outcome, job.caller, job.model.name, alternatives, now=now)
        held = priced if isinstance(priced, PriceRange) else None
        job.rate_lines = rate_headers(outcome.standings, now, enforced=outcome.enforced)
        return await self._recorded(job, target, outcome, price, held)

    def spends(self, job: Job) -> bool:
        """Whether a dollar limit applies to the job."""
        limits = self._book.limits_for(
            job.caller.project_id,
            job.caller.key_id,
            model=job.model.name,
            end_user=job.end_user,
            now=job.facts.received_at,
        )
        return any(limit.measure is Measure.SPEND and not limit.shadow for limit in limits)

    async def _recorded(
        self,
        job: Job,
        target: Target,
        admitted: Admitted,
        price: PriceVersion | None,
        held: PriceRange | None,
    ) -> Admission:
        (hold,) = admitted.holds
        attempt = job.new_attempt(target, hold, price, held)
        try:
            await self._ledger.record(*([job.new_request()] if job.attempts == 1 else []), attempt)
        except BaseException:
            await self._store.release(hold)
            # A row whose writing failed, or was not waited for, may have been written all the same.
            with suppress(Unavailable):
                await self._ledger.record(_not_sent(attempt))
            raise
        job.recorded = True
        try:
            if job.facts.gone():
                raise Unavailable(_LEFT, code="client_gone_early", status=CLIENT_GONE)
            leave = await self._store.dispatch(hold)
        except Unavailable:
            # What the hold has become decides nothing any more: this call is not sent.
            await self._ledger.record(_not_sent(attempt))
            await self._store.release(hold)
            raise
        self._keeper.watch(hold)
        return Admission(target, attempt, leave, price, held)


def _not_sent(attempt: NewAttempt) -> AttemptEnd:
    return AttemptEnd(attempt.attempt_id, AttemptState.RELEASED, datetime.now(UTC), sent=False)


def _amounts(job: Job, priced: PriceRange | Unpriced, limits: Sequence[DeclaredLimit]) -> dict[Measure, int]:
    """What the attempt takes. Requests and images count once per client request, so with its first attempt
    only. What costs nothing takes 0 dollars, which a limit that is used up still admits."""
    enforced = {limit.measure for limit in limits if not limit.shadow}
    if isinstance(priced, Unpriced):
        if Measure.SPEND in enforced:
            raise price_unknown(job.model.name, f"For provider '{job.next_provider}', {priced.explanation}.")
        if Measure.TOKENS in enforced and priced.tokens is None:
            raise price_unknown(job.model.name, measure=Measure.TOKENS)
        cost, tokens = 0, priced.tokens or 0
    else:
        cost, tokens = priced.high, priced.tokens
    amounts = {Measure.CONCURRENT: 1, Measure.TOKENS: tokens, Measure.SPEND: cost}
    if job.attempts == 0:
        amounts |= {Measure.REQUESTS: 1, Measure.IMAGES: job.call.n}
    return amounts


def _alternatives(
    job: Job, target: Target, price: PriceVersion | None, limits: Sequence[DeclaredLimit]
) -> list[Alternative]:
    """Nearby forms of the same call that would take less: a lower quality, then fewer pictures."""
    asked = job.call.params.get("quality")
    ladder = [level for level in target.entry.qualities if level != "auto"]
    lower = ladder[: ladder.index(asked)] if asked in ladder else ladder
    changes: list[tuple[str, dict[str, object]]] = [
        (f"quality: {level}", {"quality": level}) for level in reversed(lower)
    ]
    if job.call.n > 1:
        changes.append(("n: 1", {"n": 1}))
    found = []
    for words, fields in changes:
        changed = job.call.changed(fields)
        priced = estimate(target.entry, price, changed, changed.inputs)
        if isinstance(priced, PriceRange):
            amounts = {Measure.SPEND: int(priced.high), Measure.TOKENS: priced.tokens}
            amounts |= {Measure.REQUESTS: 1, Measure.IMAGES: changed.n, Measure.CONCURRENT: 1}
            found.append(Alternative(words, amounts))
    return found
