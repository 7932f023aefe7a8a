"""``routing:`` and each model's ``select``, compiled once: what the other files of this room decide by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from config.models import ModelSettings
from config.routing import Action, BreakerSettings, Select, WhenSettings
from config.schema import Settings
from gateway.routing.conditions import Condition
from gateway.routing.failure import OnFailure
from gateway.routing.rules import Rulebook


@dataclass(frozen=True, slots=True)
class TargetTerms:
    """How one target of a model wants to be chosen."""

    priority: int = 1
    weight: int = 1
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """``targets`` in the order in which they are declared."""

    select: Select
    targets: tuple[TargetTerms, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    deadline: float
    """Seconds for all attempts of a request."""
    max_attempts: int
    on_failure: OnFailure
    retry_spend: Decimal
    retry_count: Decimal
    fill_missing: bool
    breaker: BreakerSettings
    over_budget: Action
    """What follows where a target does not fit under a spend limit."""
    rules: Rulebook
    models: Mapping[str, ModelTerms]
    asks_spent: bool = False
    """Whether any condition hangs on how much of a limit is used."""

    def of(self, model: str, targets: int) -> ModelTerms:
        """The terms of a public model with so many targets; as they stand, where it is not declared, or where
        the caller named its one target."""
        declared = self.models.get(model)
        if declared is not None and len(declared.targets) == targets:
            return declared
        return ModelTerms("priority", (TargetTerms(),) * targets)


def compiled(settings: Settings) -> Policy:
    routing = settings.routing
    zone = ZoneInfo(settings.organization.timezone)
    return Policy(
        deadline=routing.deadline,
        max_attempts=routing.max_attempts,
        on_failure=OnFailure({str(word): action for word, action in routing.on_failure.items()}),
        retry_spend=routing.retry_spend,
        retry_count=routing.retry_count,
        fill_missing=routing.fill_missing,
        over_budget=routing.over_budget,
        breaker=routing.breaker,
        rules=Rulebook(routing.rules, zone),
        models={name: _terms(model, zone) for name, model in (settings.models or {}).items()},
        asks_spent=any(when is not None and when.spent is not None for when in _conditions(settings)),
    )


def _conditions(settings: Settings) -> Iterator[WhenSettings | None]:
    yield from (rule.when for rule in settings.routing.rules)
    for model in (settings.models or {}).values():
        yield from (target.when for target in model.targets)


def _terms(model: ModelSettings, zone: ZoneInfo) -> ModelTerms:
    return ModelTerms(
        model.select,
        tuple(
            TargetTerms(
                target.priority,
                target.weight,
                Condition(target.when, zone) if target.when is not None else None,
            )
            for target in model.targets
        ),
    )
