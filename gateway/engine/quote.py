"""What a candidate's upstream calls would take: an estimate of each, and together the least, the likeliest
and the most. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from config.catalog import CatalogModel
from config.prices import PriceVersion
from gateway.engine.refusals import price_unknown
from gateway.images.amounts import NanoDollars
from gateway.images.call import ImageCall, InputSize
from gateway.images.components import Component, added, components
from gateway.images.estimate import PriceRange, Unpriced, estimate
from gateway.images.input_tokens import every_input
from gateway.quota.of_settings import DeclaredLimit
from gateway.quota.outcomes import Reservation
from gateway.quota.terms import Measure
from gateway.routing.plan import Candidate

Estimating = Callable[
    [CatalogModel, PriceVersion | None, ImageCall, Sequence[InputSize]], PriceRange | Unpriced
]
"""``images.estimate.estimate``, or what remembers it."""


@dataclass(frozen=True, slots=True)
class Total:
    """The sums over all calls. ``flags`` as in :class:`PriceRange`."""

    low: NanoDollars
    expected: NanoDollars
    high: NanoDollars
    tokens: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """``estimates`` are those of ``calls``, in order; ``price`` is the version that they were made with."""

    candidate: Candidate
    price: PriceVersion | None
    calls: Sequence[ImageCall]
    estimates: Sequence[PriceRange | Unpriced]

    @property
    def unpriced(self) -> Unpriced | None:
        """Why the whole has no price."""
        return next((each for each in self.estimates if isinstance(each, Unpriced)), None)

    @property
    def total(self) -> Total | None:
        """None where it has no price."""
        known = [each for each in self.estimates if isinstance(each, PriceRange)]
        if len(known) < len(self.estimates):
            return None
        return Total(
            low=NanoDollars(sum(each.low for each in known)),
            expected=NanoDollars(sum(each.expected for each in known)),
            high=NanoDollars(sum(each.high for each in known)),
            tokens=sum(each.tokens for each in known),
            flags=tuple(dict.fromkeys(flag for each in known for flag in each.flags)),
        )

    @property
    def components(self) -> tuple[Component, ...]:
        """What the expected amount is made of; empty where there is none, or where it is 0."""
        if self.price is None:
            return ()
        parts: list[Component] = []
        for call, each in zip(self.calls, self.estimates, strict=True):
            if isinstance(each, PriceRange):
                parts += components(self.price, each, every_input(call, call.inputs))
        return added(parts)


def reservations(
    quoted: Quote,
    model: str,
    limits: Sequence[DeclaredLimit],
    request_id: str,
    *,
    images: int,
    made: int = 0,
) -> list[Reservation]:
    """What each call takes of the limits. ``images`` is the number that the client asked for, ``made`` how
    many calls its request has made before: the request and its images count once, with the first of all. What
    costs nothing takes 0 dollars, which a limit that is used up still admits.

    Raises 400 ``price_unknown`` where a limit counts what is not known.
    """
    enforced = {limit.measure for limit in limits if not limit.shadow}
    wanted = []
    for ordinal, each in enumerate(quoted.estimates, made + 1):
        if isinstance(each, Unpriced):
            if Measure.SPEND in enforced:
                provider = quoted.candidate.target.provider
                raise price_unknown(model, f"For provider '{provider}', {each.explanation}.")
            if Measure.TOKENS in enforced and each.tokens is None:
                raise price_unknown(model, measure=Measure.TOKENS)
            cost, tokens = 0, each.tokens or 0
        else:
            cost, tokens = each.high, each.tokens
        amounts = {Measure.CONCURRENT: 1, Measure.TOKENS: tokens, Measure.SPEND: cost}
        if ordinal == 1:
            amounts |= {Measure.REQUESTS: 1, Measure.IMAGES: images}
        wanted.append(Reservation(f"{request_id}/{ordinal}", amounts, limits))
    return wanted


def quote(candidate: Candidate, day: date, estimating: Estimating = estimate) -> Quote:
    """At the prices in force on ``day`` (UTC)."""
    entry, fitted = candidate.target.entry, candidate.fitted
    price = entry.price_on(day)
    calls = [fitted.batch(ordinal) for ordinal in range(len(fitted.batches))]
    return Quote(candidate, price, calls, [estimating(entry, price, call, call.inputs) for call in calls])
