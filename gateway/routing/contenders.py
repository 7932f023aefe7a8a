"""From a fitted plan to what its targets are chosen by: their terms, their price, the shape of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from gateway.caller import Caller
from gateway.images.call import ImageCall
from gateway.images.defaults import size_intent
from gateway.images.fitted import Fitted
from gateway.routing.conditions import Question
from gateway.routing.directory import PublicModel, Target
from gateway.routing.names import Shape
from gateway.routing.plan import Candidate
from gateway.routing.policy import Policy
from gateway.routing.selection import Contender


def question(
    call: ImageCall,
    caller: Caller,
    moment: datetime,
    *,
    end_user: str | None = None,
    tags: Mapping[str, str] | None = None,
    spent: Decimal | None = None,
) -> Question:
    """What the rules are asked of ``call``: its caller's words with the model's defaults, not yet fitted.
    ``end_user`` is who the call or the project's header names, ``spent`` the share used of the fullest dollar
    limit that it counts under. Raises ``InvalidRequest`` for what is no size."""
    quality = call.params.get("quality")
    area = size_intent(call.params).area
    return Question(
        model=call.model,
        operation=call.operation.value,
        moment=moment,
        project=caller.project_name,
        project_id=caller.project_id,
        key=caller.key_name,
        end_user=end_user,
        quality=quality if isinstance(quality, str) else None,
        area=None if area is None else int(area),
        tags=tags or {},
        spent=spent,
    )


def contenders(
    candidates: Sequence[Candidate],
    model: PublicModel,
    policy: Policy,
    prices: Sequence[int | None],
) -> list[Contender]:
    """One for each candidate, with its number in ``index``. ``prices`` are what each is expected to cost in
    nano-dollars (None: not known)."""
    terms = policy.of(model.name, len(model.targets))
    found = []
    for index, (candidate, price) in enumerate(zip(candidates, prices, strict=True)):
        target = candidate.target
        wanted = terms.targets[_number(target, model)]
        found.append(
            Contender(
                target.provider,
                target.model,
                shape_of(target, candidate.fitted),
                wanted.priority,
                wanted.weight,
                wanted.when,
                price,
                index,
            )
        )
    return found


def shape_of(target: Target, fitted: Fitted) -> Shape:
    quality = fitted.call.params.get("quality")
    return Shape(target.entry.id, fitted.size.sent, quality if isinstance(quality, str) else "")


def _number(target: Target, model: PublicModel) -> int:
    """By identity: one upstream model may stand twice, with different conditions."""
    return next(number for number, each in enumerate(model.targets) if each is target)
