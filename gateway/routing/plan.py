"""Which targets can serve a call, and as what. Pure.

Targets that lack what the call needs are left out before anything is ordered or priced; where none is left,
the caller is told what is missing and which models of its key have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.caller import Caller
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.capabilities import lacking
from gateway.images.fitted import Fitted, Unfit
from gateway.images.fitting import fit, serves
from gateway.images.wording import listing
from gateway.routing.directory import ModelDirectory, PublicModel, Target

_NAMED = 5
"""Models that a refusal names, at most."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target, and the call as it can serve it."""

    target: Target
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class Excluded:
    """A target that cannot serve the call, and why."""

    target: Target
    unfit: Unfit


@dataclass(frozen=True, slots=True)
class Plan:
    """``candidates`` in the order in which they are tried, never empty; each with its own best size."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...] = ()


def plan(call: ImageCall, model: PublicModel, caller: Caller, directory: ModelDirectory) -> Plan:
    """Every usable target of ``model`` that can serve ``call``, fitted. Raises :class:`InvalidRequest` where
    there is none; ``directory`` is where it looks for models that could."""
    candidates, excluded = _sorted_out(call, model)
    if not candidates:
        raise _nobody_can(call, model, excluded, caller, directory)
    return Plan(tuple(candidates), tuple(excluded))


def _sorted_out(call: ImageCall, model: PublicModel) -> tuple[list[Candidate], list[Excluded]]:
    candidates: list[Candidate] = []
    excluded: list[Excluded] = []
    for target in model.usable:
        outcome = fit(call, target.entry)
        if isinstance(outcome, Unfit):
            excluded.append(Excluded(target, outcome))
        else:
            candidates.append(Candidate(target, outcome))
    return candidates, excluded


def _nobody_can(
    call: ImageCall, model: PublicModel, excluded: list[Excluded], caller: Caller, directory: ModelDirectory
) -> InvalidRequest:
    """The first target's refusal, and who could have served the call. In strict mode OpenAI's words stand
    alone where it is the value that the target refuses and no capability that it lacks."""
    first = excluded[0]
    refusal = first.unfit.refusal
    if call.strict and lacking(call, first.target.entry) is None:
        return refusal
    able = [
        other.name
        for other in directory.visible(caller)
        if other.name != model.name and _can_serve(replace(call, model=other.name), other)
    ]
    if not able:
        offer = " No other model that this key may use can serve it."
    else:
        more = f" and {len(able) - _NAMED} more" if len(able) > _NAMED else ""
        offer = f" Of the models that this key may use, {listing(able[:_NAMED])}{more} can serve it."
    return InvalidRequest(
        refusal.message + offer,
        param=refusal.param,
        code=refusal.code,
        type=refusal.type,
        status=refusal.status,
        extra=refusal.extra,
        noted=refusal.noted,
    )


def _can_serve(call: ImageCall, model: PublicModel) -> bool:
    return any(serves(call, target.entry) for target in model.usable)
