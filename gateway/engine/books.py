"""How an attempt's end is booked: in the ledger first, which is the record, then in the store of limits.

A failure to book never takes the picture from the client: what the ledger cannot take now it keeps beside the
database, and what the store missed it is told later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog

from gateway.engine import failures
from gateway.engine.admission import Admission
from gateway.engine.drilled import Drilled
from gateway.engine.job import Job
from gateway.engine.record import actual
from gateway.engine.told import AttemptsTold
from gateway.engine.whole import UnusableAnswer
from gateway.errors import Unavailable
from gateway.images.amounts import Charge, Usage, dollars
from gateway.images.pricing import Delivered, rounded_up
from gateway.images.settlement import settle, settle_failed
from gateway.images.usage import read_usage
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState
from gateway.quota.holds import State
from gateway.quota.keeper import Keeper
from gateway.quota.outcomes import End
from gateway.quota.store import QuotaStore
from gateway.routing.decision import Decision
from gateway.telemetry import meters
from providers.base import ProviderError

_log = structlog.get_logger("imagegate.engine")

_STATES = {
    AttemptState.SETTLED: State.SETTLED,
    AttemptState.RELEASED: State.RELEASED,
    AttemptState.UNKNOWN: State.UNKNOWN,
}


class Failure(Protocol):
    """A call that brought nothing (``attempts.Failure``)."""

    @property
    def admission(self) -> Admission: ...

    @property
    def error(self) -> Exception: ...

    @property
    def at(self) -> datetime: ...


class Books:
    def __init__(self, ledger: Ledger, store: QuotaStore, keeper: Keeper, told: AttemptsTold) -> None:
        self._told = told
        self._ledger = ledger
        self._store = store
        self._keeper = keeper

    def charged(self, job: Job, admission: Admission, delivered: Delivered) -> Charge:
        """By the price of admission; an answer that does not say what it used costs what was expected."""
        charge = settle(
            admission.price, delivered, held=admission.held, cost_source=admission.target.cost_source
        )
        for flag in meters.ALARMS.keys() & set(charge.flags):
            meters.ALARMS[flag].add(1, {"provider": admission.target.provider, "model": job.model.name})
            _log.warning(
                flag,
                attempt_id=admission.attempt.attempt_id,
                cost_usd=None if charge.cost is None else dollars(charge.cost),
                held_usd=None if admission.held is None else dollars(admission.held.high),
            )
        return charge

    async def succeeded(
        self,
        job: Job,
        admission: Admission,
        delivered: Delivered,
        upstream_request_id: str | None,
        *,
        late: bool = False,
    ) -> None:
        """Settle an attempt whose pictures came. ``late``: its client was answered before."""
        end = AttemptEnd(
            attempt_id=admission.attempt.attempt_id,
            state=AttemptState.SETTLED,
            ended_at=datetime.now(UTC),
            http_status=200,
            usage=delivered.usage,
            charge=self.charged(job, admission, delivered),
            images=delivered.images,
            upstream_request_id=upstream_request_id,
        )
        if not late:
            job.settle(admission.attempt, end)
        self._told.booked(job, admission, end)
        await self._write(end)
        await self.move(self._move(admission, end))

    async def failed(
        self, job: Job, failed: Sequence[Failure], decision: Decision | None = None, *, late: bool = False
    ) -> list[End]:
        """Write the ends of calls that brought nothing to the ledger, with what follows them. Their ends in
        the store are returned, for the caller to make alone (:meth:`move`) or in one step with further holds.
        What is our own failure, or a defect, has its end already. ``late``: its client had its answer, and it
        was booked as unknown; what is no better known now is left at that."""
        ends = [
            (each.admission, self._failed(job, each.admission, each.error, each.at, decision))
            for each in failed
            if isinstance(each.error, ProviderError)
        ]
        if late:
            ends = [each for each in ends if each[1].state is not AttemptState.UNKNOWN]
        else:
            for admission, end in ends:
                job.settle(admission.attempt, end)
        for admission, end in ends:
            self._told.booked(job, admission, end)
        if ends:
            await self._write(*(end for _, end in ends))
        return [self._move(admission, end) for admission, end in ends]

    def _failed(
        self, job: Job, admission: Admission, error: ProviderError, at: datetime, decision: Decision | None
    ) -> AttemptEnd:
        usage = _usage(error)
        charge = None
        if usage is not None or error.cost is not None:
            call = admission.call
            cost = None if error.cost is None else rounded_up(error.cost)
            delivered = Delivered(0, usage, input_images=bool(call.images), cost=cost, params=call.params)
            charge = self.charged(job, admission, delivered)
        if error.billed == "yes" and (charge is None or charge.cost is None):
            charge = settle_failed(admission.attempt.price_version, admission.held)
        known = charge is not None and charge.cost is not None
        return AttemptEnd(
            attempt_id=admission.attempt.attempt_id,
            state=AttemptState.SETTLED if known else failures.state_after(error),
            ended_at=at,
            http_status=error.status,
            kind=error.kind.value,
            certainty=error.certainty.value,
            error_code=error.code,
            usage=usage,
            charge=charge if known else None,
            images=0,
            upstream_request_id=error.upstream_request_id,
            step=None if decision is None else decision.step.value,
            because=None if decision is None else decision.because.value,
            drill=isinstance(error, Drilled),
        )

    async def lost(self, job: Job, admission: Admission) -> None:
        """The gateway itself failed after the call was sent: nobody knows what it cost."""
        end = AttemptEnd(admission.attempt.attempt_id, AttemptState.UNKNOWN, datetime.now(UTC))
        job.settle(admission.attempt, end)
        self._told.booked(job, admission, end)
        await self._write(end)
        await self.move(self._move(admission, end))

    async def move(self, *ends: End) -> None:
        """Tell the store of limits. What it cannot be told now it is told when it is back."""
        for moved in await self._store.end(ends) if ends else ():
            if moved.deferred:
                _log.warning("settle_deferred", attempt_id=moved.rid)

    def _move(self, admission: Admission, end: AttemptEnd) -> End:
        self._keeper.forget(admission.hold.rid)
        return End(admission.hold, _STATES[end.state], actual(end))

    async def _write(self, *ends: AttemptEnd) -> None:
        try:
            await self._ledger.record(*ends)
        except Unavailable:
            for end in ends:
                amount = end.charge.cost if end.charge else None
                _log.error(
                    "settle_not_recorded",
                    attempt_id=end.attempt_id,
                    state=end.state.value,
                    cost_usd=None if amount is None else dollars(amount),
                )


def _usage(error: ProviderError) -> Usage | None:
    """What a failure says that it took all the same."""
    if isinstance(error, UnusableAnswer):
        return error.usage
    return read_usage({"usage": error.reported_usage})
