"""What the YAML may say of routing: how a model's targets are chosen, what may be tried after a failure, when
a target is left alone for a while, and rules that decide by who asks for what.

The meaning of each word is in docs/routing.md; the code that follows it in ``gateway/routing``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from config.units import Seconds, Share, Strict

Select = Literal["priority", "weighted", "fastest", "cheapest"]
Action = Literal["next", "stop"]
FailureWord = Literal[
    "auth",
    "throttled",
    "overloaded",
    "invalid",
    "moderation",
    "not_found",
    "timeout",
    "empty",
    "bad_payload",
    "server",
    "not_sent",
    "rejected",
    "failed",
    "maybe_accepted",
    "answered",
]
"""Kinds of failures, then certainties (``providers.base``)."""

CERTAINTIES: frozenset[str] = frozenset({"not_sent", "rejected", "failed", "maybe_accepted", "answered"})
LATE_SECONDS = 120.0
"""For so long after the deadline an answer is still awaited, to be settled exactly."""

Tier = Literal["512", "1K", "2K", "4K", "8K"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _tiers(value: object) -> object:
    """In any case of letters, and ``0.5K`` for ``512``, as callers may write them."""
    said = [str(item).strip().upper() for item in value] if isinstance(value, list) else [str(value).upper()]
    return ["512" if item == "0.5K" else item for item in said]


def _words(kind: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind, {"type": "array", "items": kind, "minItems": 1}]})


def _hours(value: object) -> object:
    match = re.fullmatch(r"\s*(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)\s*", str(value))
    if match is None or int(match[1]) > 23 or int(match[3]) > 24 or int(match[2]) > 59 or int(match[4]) > 59:
        raise ValueError("expected hours such as 08:00-18:00")
    if int(match[3]) == 24 and match[4] != "00":
        raise ValueError("a day ends at 24:00")
    if match[1] + match[2] == match[3] + match[4]:
        raise ValueError("begins when it ends; leave hours out for the whole day")
    return f"{match[1]}:{match[2]}-{match[3]}:{match[4]}"


Words = Annotated[
    list[str], BeforeValidator(_one_or_more), Field(min_length=1), _words({"type": "string", "minLength": 1})
]
Operations = Annotated[
    list[Literal["generations", "edits"]],
    BeforeValidator(_one_or_more),
    Field(min_length=1),
    _words({"enum": ["generations", "edits"], "type": "string"}),
]
Tiers = Annotated[
    list[Tier],
    BeforeValidator(_tiers),
    Field(min_length=1),
    _words({"enum": ["512", "1K", "2K", "4K", "8K"], "type": "string"}),
]
Days = Annotated[
    list[Day],
    BeforeValidator(_one_or_more),
    Field(min_length=1),
    _words({"enum": list(DAYS), "type": "string"}),
]
Hours = Annotated[
    str,
    BeforeValidator(_hours),
    WithJsonSchema({"type": "string", "format": "hours", "examples": ["08:00-18:00"]}),
]
Fraction = Annotated[
    float, Field(ge=0, le=1), WithJsonSchema({"type": "number", "format": "fraction", "examples": [0.5]})
]


class WhenSettings(Strict):
    """Conditions; all that are written must hold. Where several values may stand, one of them must fit."""

    project: Words | None = Field(None, description="Names or ids of projects.")
    key: Words | None = Field(None, description="Names of keys, as PROJECT/KEY or, in any project, KEY.")
    end_user: Words | None = Field(None, description="End users, as the call names them.")
    model: Words | None = Field(None, description="Public models, as the call names them.")
    operation: Operations | None = Field(None, description="What is asked for.")
    quality: Words | None = Field(
        None, description="Qualities, as the call or the model's defaults name them."
    )
    resolution: Tiers | None = Field(
        None,
        description="Tiers that the call asks for, before it is fitted to any target. Pixels count as the "
        "largest tier of which they have at least 45 %: 3840x2160 is 4K, 1536x1024 is 1K.",
    )
    tags: dict[str, Words] | None = Field(None, description="What x-imagegate-tags must say, by its names.")
    hours: Hours | None = Field(
        None, description="Time of day in the organization's zone; 22:00-06:00 goes over midnight."
    )
    days: Days | None = Field(
        None, description="Days of the week; with hours over midnight, the day on which they begin."
    )
    spent: Share | None = Field(
        None,
        gt=0,
        le=1,
        description="From this share on of the fullest dollar limit that the call counts under.",
    )

    @property
    def written(self) -> dict[str, object]:
        """The conditions that stand here, by name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _says_something(self) -> WhenSettings:
        if not self.written or self.tags == {}:
            raise ValueError("names no condition; leave it out, or write one")
        for name, values in self.written.items():
            if isinstance(values, list) and len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice")
        return self


class RuleSettings(Strict):
    """What is done for the requests that its conditions fit. The first rule that fits decides; the model that
    it puts in place is looked up, and no further rule is asked."""

    name: str | None = Field(
        None, min_length=1, max_length=64, description="For logs and explanations; default: its number."
    )
    when: WhenSettings | None = Field(None, description="Conditions; without them it fits every request.")
    model: str | None = Field(
        None,
        description="The public model that serves it instead. Callers need leave for the one they named.",
    )
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="Only these of the model's targets, in this order: PROVIDER or PROVIDER/MODEL.",
    )
    select: Select | None = Field(None, description="Chosen this way instead of the model's own.")
    deny: str | None = Field(
        None, min_length=1, max_length=500, description="Refused with 403 and these words."
    )

    @model_validator(mode="after")
    def _does_something(self) -> RuleSettings:
        effects = [name for name in ("model", "targets", "select") if getattr(self, name) is not None]
        if self.deny is None and not effects:
            raise ValueError("does nothing; write model, targets, select or deny")
        if self.deny is not None and effects:
            raise ValueError(f"deny refuses the request, so {' and '.join(effects)} would mean nothing")
        if self.targets is not None and len(set(self.targets)) < len(self.targets):
            raise ValueError("targets names one twice")
        return self


class BreakerSettings(Strict):
    """When a target is left alone for a while. Refusals for content and faults of the request never count,
    never more than half of a model's targets are out at once, and one always stays."""

    consecutive_failures: int = Field(5, ge=1, le=100, description="Out after so many in a row.")
    min_success_rate: Fraction = Field(
        0.5, description="Out when fewer of the last calls succeeded; 0 for never."
    )
    window: Seconds = Field(
        600.0, gt=0, le=86400, description="How far back the last 20 calls may lie that the rate is of."
    )
    min_calls: int = Field(10, ge=2, le=20, description="Calls that the rate is of, at least.")
    open_for: Seconds = Field(
        30.0, gt=0, description="How long it is out at first; doubled each time that it fails again."
    )
    open_at_most: Seconds = Field(600.0, gt=0, le=86400, description="How long at most.")
    slow_start: Seconds = Field(
        120.0, ge=0, le=3600, description="Time in which its share of calls grows from 10 % to all."
    )

    @model_validator(mode="after")
    def _grows(self) -> BreakerSettings:
        if self.open_at_most < self.open_for:
            raise ValueError("open_at_most is the end of the doubling: at least open_for")
        return self


class RoutingSettings(Strict):
    """How long, how often and where a request is tried."""

    deadline: Seconds = Field(
        280.0, gt=0, le=590, description="For all attempts of a request. Clients give up on headers at 300 s."
    )
    max_attempts: int = Field(3, ge=1, le=10, description="Calls made for one request, at most.")
    on_failure: dict[FailureWord, Action] = Field(
        {},
        description="What follows a failure, by its kind or its certainty; a kind wins. Default: next, but "
        "stop for maybe_accepted, answered, empty, bad_payload and moderation.",
    )
    over_budget: Action = Field(
        "next",
        description="Where a target's price does not fit under a spend limit: next goes on to a cheaper "
        "target of the same model and says so (x-imagegate-downgraded), stop refuses the request.",
    )
    retry_spend: Share = Field(
        Decimal("0.01"),
        le=1,
        description="What may be spent on calls after one that may have been paid for: this share of what "
        "was settled in the last 24 hours, and one call at least.",
    )
    retry_count: Share = Field(
        Decimal("0.5"),
        le=10,
        description="Further attempts from one provider to another: this share of the requests that came to "
        "the one in the last 10 minutes, and 10 at least.",
    )
    fill_missing: bool = Field(
        False, description="Ask the next target for the pictures that an answer lacks, within retry_spend."
    )
    breaker: BreakerSettings = BreakerSettings()
    rules: list[RuleSettings] = Field([], description="Asked in this order; the first that fits decides.")

    @property
    def longest_call(self) -> float:
        """Seconds after which no call can still run."""
        return self.deadline + LATE_SECONDS
