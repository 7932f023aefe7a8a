"""A failed attempt as routing sees it, and what the owner of the gateway wants to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.routing import Action
from providers.base import Certainty, Kind, ProviderError

DEFAULTS: Mapping[str, Action] = {
    "not_sent": "next",
    "rejected": "next",
    "failed": "next",
    "maybe_accepted": "stop",
    "answered": "stop",
    "throttled": "next",
    "overloaded": "next",
    "auth": "next",
    "invalid": "next",
    "moderation": "stop",
    "empty": "stop",
    "bad_payload": "stop",
}
"""``routing.on_failure`` where nothing is written. Kinds that are missing go by their certainty."""


@dataclass(frozen=True, slots=True)
class Failure:
    """``retry_after`` is in seconds; ``billed`` is what the provider's terms say of it ("yes", "no",
    "unknown", None where they say nothing)."""

    kind: Kind
    certainty: Certainty
    retry_after: float | None = None
    billed: str | None = None

    @classmethod
    def of(cls, error: ProviderError) -> Failure:
        """What a safety refusal costs is unverified for every provider, unless it came before any work."""
        billed = error.billed
        if billed is None and error.kind is Kind.MODERATION:
            billed = "no" if (error.details or {}).get("moderation_stage") == "input" else "unknown"
        return cls(error.kind, error.certainty, error.retry_after, billed)

    @property
    def may_be_paid(self) -> bool:
        """Whether money may have been spent on it, so that trying again may cost twice."""
        if self.billed is not None:
            return self.billed != "no"
        return self.certainty in (Certainty.MAYBE_ACCEPTED, Certainty.ANSWERED)

    @property
    def is_fault_of_request(self) -> bool:
        """Whether the target did its work by refusing: says nothing of its health."""
        return self.kind in (Kind.MODERATION, Kind.INVALID)

    @property
    def is_our_own(self) -> bool:
        """Whether it never left this process for want of a place: says nothing of the target either."""
        return self.kind is Kind.OVERLOADED and self.certainty is Certainty.NOT_SENT


@dataclass(frozen=True, slots=True)
class OnFailure:
    """``written`` are the owner's words, kinds and certainties alike."""

    written: Mapping[str, Action] = field(default_factory=dict)

    def after(self, kind: Kind, certainty: Certainty) -> Action:
        """A kind wins over a certainty. A default kind's ``next`` speaks of clear failures only: a 503 that a
        stranger in the middle wrote is no proof of an overloaded provider."""
        if kind.value in self.written:
            return self.written[kind.value]
        default = DEFAULTS.get(kind.value)
        if default is not None and (certainty is not Certainty.MAYBE_ACCEPTED or default == "stop"):
            return default
        return self.written.get(certainty.value, DEFAULTS[certainty.value])
