"""From a validated call to its plan::

    rules          may refuse it, put another model in its place, or name targets  (routing/rules)
    defaults       in place of auto, where what the call can cost must be known    (images/auto)
    pictures       that were given by reference, made into files where needed      (inputs)
    candidates     the targets that can serve it, each with the call fitted to it  (routing/plan)
    order          which of them comes first, and which is left alone now          (routing/selection)

The same for a call that is made and for one that is only asked about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from random import random
from typing import Protocol

from gateway.caller import Caller
from gateway.engine.answer import RequestFacts
from gateway.engine.inputs import materialise
from gateway.errors import Forbidden, InvalidRequest
from gateway.images.auto import resolve_auto
from gateway.images.call import ImageCall
from gateway.images.estimate import PriceRange
from gateway.images.estimates import Estimates
from gateway.images.fitted import Adjustment, How
from gateway.images.fitting import hangs_on_input
from gateway.quota.errors import QuotaUnavailable
from gateway.quota.of_settings import DeclaredLimit, LimitBook
from gateway.quota.outcomes import Standing
from gateway.quota.terms import Limit, Measure
from gateway.routing.conditions import Question
from gateway.routing.contenders import contenders, question
from gateway.routing.directory import ModelDirectory, PublicModel
from gateway.routing.plan import Candidate, Excluded, plan
from gateway.routing.policy import Policy
from gateway.routing.rules import Ruling
from gateway.routing.selection import Contender, Order, Out, order
from gateway.routing.watch import Watch
from gateway.routing.wishes import HEADER, Wishes
from providers.guarded import GuardedFetch


class Standings(Protocol):
    """What this needs of the quota store. Raises :class:`gateway.quota.errors.QuotaUnavailable`."""

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]: ...


Spent = Callable[[Sequence[DeclaredLimit]], Awaitable[Decimal | None]]
"""The share used of the fullest of some limits; None where there is none, or nobody can tell."""


def fullest(standings: Standings) -> Spent:
    async def share(limits: Sequence[DeclaredLimit]) -> Decimal | None:
        try:
            found = await standings.standing(limits) if limits else ()
        except QuotaUnavailable:
            return None
        return max(
            (Decimal(each.used) / each.limit.amount for each in found if each.limit.amount), default=None
        )

    return share


async def _nobody_can_tell(limits: Sequence[DeclaredLimit]) -> Decimal | None:
    return None


@dataclass(frozen=True, slots=True)
class Ruled:
    """A call after the rules, with the model that serves it. ``question`` is what they were asked, None where
    no condition hangs on anything."""

    call: ImageCall
    model: PublicModel
    ruling: Ruling = field(default_factory=Ruling)
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """``candidates`` stand as declared, never none; ``contenders`` are the same in number, as the choice
    sees them."""

    ruled: Ruled
    call: ImageCall
    candidates: Sequence[Candidate]
    excluded: Sequence[Excluded]
    contenders: Sequence[Contender]
    wishes: Wishes

    @property
    def model(self) -> PublicModel:
        return self.ruled.model

    def ordered(self, found: Order) -> list[Candidate]:
        """The candidates that ``found`` leaves, in its order."""
        return [self.candidates[ranked.contender.index] for ranked in found.ranked]


class Planning:
    """One per process. ``estimates`` say what calls cost."""

    def __init__(
        self,
        directory: ModelDirectory,
        book: LimitBook,
        fetch: GuardedFetch,
        policy: Policy,
        watch: Watch,
        *,
        spent: Spent = _nobody_can_tell,
        estimates: Estimates | None = None,
        dice: Callable[[], float] = random,
    ) -> None:
        self._directory = directory
        self._book = book
        self._fetch = fetch
        self._policy = policy
        self._watch = watch
        self._spent = spent
        self._estimates = estimates or Estimates()
        self.dice = dice

    async def plan(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Planned:
        """The call with its defaults and files, and what may be tried for it. Raises
        :class:`gateway.errors.Forbidden` where a rule denies it, :class:`gateway.errors.InvalidRequest` for
        pictures that cannot be had, and where no target can serve the call; nothing is held then."""
        return await self.fitted(await self.ruled(call, model, caller, facts), caller, facts)

    async def ruled(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Ruled:
        """What the rules make of it. One that denies it is in the ruling."""
        if not self._policy.rules and not self._has_conditions(model):
            return Ruled(call, model)
        limits = self._spend_limits(call, model, caller, facts) if self._policy.asks_spent else []
        asked = question(
            call,
            caller,
            facts.received_at,
            end_user=call.end_user or facts.end_user,
            tags=facts.tags,
            spent=await self._spent(limits) if self._policy.asks_spent else None,
        )
        ruling = self._policy.rules.ruling(asked)
        if ruling.model is not None and ruling.model != model.name:
            named = call.model
            call, model = await facts.reread(ruling.model)
            told = Adjustment("model", named, How.MAPPED, model.name)
            call = replace(call, adjusted=(told, *call.adjusted))
        return Ruled(call, model, ruling, asked)

    async def fitted(self, ruled: Ruled, caller: Caller, facts: RequestFacts) -> Planned:
        """What may be tried for a call that the rules let pass."""
        if ruled.ruling.deny is not None:
            raise Forbidden(ruled.ruling.deny, code="denied_by_rule")
        call, model = ruled.call, ruled.model
        if self._resolves(call, model, caller, facts):
            call, _ = resolve_auto(call, model.defaults)
        entries = [target.entry for target in model.usable]
        call = await materialise(
            call,
            entries,
            fetch=self._fetch,
            uploads=facts.uploads,
            needs_ratio=any(hangs_on_input(call, entry) for entry in entries),
        )
        found = plan(call, model, caller, self._directory)
        day = facts.received_at.date()
        prices = [self._price(candidate, day) for candidate in found.candidates]
        runners = contenders(found.candidates, model, self._policy, prices)
        return Planned(ruled, call, found.candidates, found.excluded, runners, facts.wishes)

    def order(self, planned: Planned, now: float) -> Order:
        """Who is tried first, now (``perf_counter``). Raises :class:`gateway.errors.InvalidRequest` where
        conditions, or the caller's own wishes, leave nobody, whatever the time."""
        model = planned.model
        found = order(
            planned.contenders,
            self._policy.of(model.name, len(model.targets)).select,
            self._watch,
            now,
            self.dice,
            question=planned.ruled.question,
            ruling=planned.ruled.ruling,
            wishes=planned.wishes,
        )
        if not found.ranked and all(out.because in _FOR_GOOD for out in found.left_out):
            raise _nobody_left(model, found)
        return found

    def _has_conditions(self, model: PublicModel) -> bool:
        terms = self._policy.of(model.name, len(model.targets))
        return any(target.when is not None for target in terms.targets)

    def _price(self, candidate: Candidate, day: date) -> int | None:
        """What it is expected to cost there, in nano-dollars."""
        entry, fitted = candidate.target.entry, candidate.fitted
        price = entry.price_on(day)
        total = 0
        for ordinal in range(len(fitted.batches)):
            call = fitted.batch(ordinal)
            found = self._estimates.of(entry, price, call, call.inputs)
            if not isinstance(found, PriceRange):
                return None
            total += found.expected
        return total

    def _resolves(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> bool:
        """Always or never, as the model's settings say; else where a dollar limit applies."""
        if model.resolve_auto is not None:
            return model.resolve_auto
        return bool(self._spend_limits(call, model, caller, facts))

    def _spend_limits(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> list[DeclaredLimit]:
        limits = self._book.limits_for(
            caller.project_id,
            caller.key_id,
            model=model.name,
            end_user=call.end_user or facts.end_user,
            now=facts.received_at,
        )
        return [limit for limit in limits if limit.measure is Measure.SPEND and not limit.shadow]


_FOR_GOOD = frozenset({Out.RULE, Out.WHEN, Out.EXCLUDED})
"""Why targets are left out where waiting changes nothing."""


def _nobody_left(model: PublicModel, found: Order) -> InvalidRequest:
    if any(out.because is Out.EXCLUDED for out in found.left_out):
        return InvalidRequest(
            f"{HEADER} leaves out every provider of '{model.name}' that could serve this request. Leave one "
            "of them in.",
            param=HEADER,
            code="no_target_left",
        )
    return InvalidRequest(
        f"No target of '{model.name}' is meant for this request: their conditions do not fit it. This is the "
        "wish of the gateway's operator; ask for another model.",
        param="model",
        code="no_target_left",
    )
