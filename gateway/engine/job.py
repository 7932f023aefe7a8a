"""One client request on its way through the engine: what it is, what it has tried, what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter

import msgspec

from config.prices import PriceVersion
from gateway.caller import Caller
from gateway.engine.answer import RequestFacts
from gateway.engine.record import with_hold
from gateway.images.amounts import Charge, NanoDollars, Usage, dollars
from gateway.images.call import ImageCall
from gateway.images.estimate import PriceRange
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt, NewRequest, RequestEnd
from gateway.quota.holds import Hold
from gateway.routing.directory import PublicModel, Target


@dataclass(slots=True)
class Job:
    call: ImageCall
    model: PublicModel
    caller: Caller
    facts: RequestFacts
    targets: Sequence[Target]
    deadline: float
    """``perf_counter`` seconds at which the client must have its answer."""
    attempts: int = 0
    charges: list[Charge] = field(default_factory=list)
    upstream_seconds: float = 0.0
    target: Target | None = None
    images: int = 0
    usage: Usage | None = None
    ended: bool = False
    recorded: bool = False
    """Whether the request has a row: from its first admission on."""
    rate_lines: Sequence[tuple[str, str]] = ()
    """Rate headers of the last admission."""

    @property
    def end_user(self) -> str | None:
        """The call's own word, else the project's header's."""
        return self.call.end_user or self.facts.end_user

    @property
    def next_provider(self) -> str:
        return self.targets[min(self.attempts, len(self.targets) - 1)].provider

    @property
    def remaining(self) -> float:
        """Seconds left for an attempt, never negative."""
        return max(self.deadline - perf_counter(), 0.0)

    @property
    def cost(self) -> NanoDollars | None:
        """The sum over all attempts; None when any of them is unknown."""
        known = [charge.cost for charge in self.charges if charge.cost is not None]
        return NanoDollars(sum(known)) if len(known) == len(self.charges) else None

    @property
    def overhead_ms(self) -> float:
        """Time since the request arrived that was not spent waiting for a provider."""
        return max((perf_counter() - self.facts.started - self.upstream_seconds) * 1000, 0.0)

    def new_request(self) -> NewRequest:
        params = self.call.params
        return NewRequest(
            request_id=self.facts.request_id,
            received_at=self.facts.received_at,
            project_id=self.caller.project_id,
            key_id=self.caller.key_id,
            operation=self.call.operation.value,
            model=self.model.name,
            n=self.call.n,
            size=_word(params.get("size")),
            quality=_word(params.get("quality")),
            output_format=_word(params.get("output_format")),
            end_user=self.end_user,
            client_request_id=self.facts.client_request_id,
            tags=_object(self.facts.tags),
            labels=_object(self.caller.labels),
            external_key_id=self.caller.external_key_id,
        )

    def new_attempt(
        self, target: Target, hold: Hold, price: PriceVersion | None, held: PriceRange | None
    ) -> NewAttempt:
        """Counts the attempt; call once per target admitted."""
        self.attempts += 1
        self.target = target
        attempt = NewAttempt(
            attempt_id=f"{self.facts.request_id}/{self.attempts}",
            request_id=self.facts.request_id,
            ordinal=self.attempts,
            provider=target.provider,
            upstream_model=target.model,
            dispatched_at=datetime.now(UTC),
            price_version=price.version if price else None,
        )
        return with_hold(
            attempt,
            hold if hold.lines else None,
            amount=held.high if held else None,
            tokens=held.tokens if held else None,
            expected=held.expected if held else None,
        )

    def end(self, status: int, error_code: str | None = None, *, client_gone: bool = False) -> RequestEnd:
        return RequestEnd(
            request_id=self.facts.request_id,
            ended_at=datetime.now(UTC),
            status=status,
            error_code=error_code,
            provider=self.target.provider if self.target else None,
            attempts=self.attempts,
            images=self.images,
            cost=self.cost,
            overhead_ms=round(self.overhead_ms),
            client_gone=client_gone,
        )

    def settle(self, attempt: NewAttempt, end: AttemptEnd) -> AttemptEnd:
        """Book the end of an attempt into the request's own sums."""
        if end.state is not AttemptState.RELEASED:
            self.charges.append(end.charge or Charge(None, ("unknown",), attempt.price_version))
        self.images += end.images or 0
        self.usage = end.usage or self.usage
        return end

    def headers(self) -> list[tuple[str, str]]:
        """What the caller is told about how it was served. Sent before the body."""
        lines = [
            ("x-imagegate-provider", self.target.provider if self.target else ""),
            ("x-imagegate-model", self.target.model if self.target else ""),
            ("x-imagegate-attempts", str(self.attempts)),
            ("x-imagegate-overhead-ms", f"{self.overhead_ms:.1f}"),
            *self.rate_lines,
        ]
        if 0 < self.images < self.call.n:
            lines.append(("x-imagegate-partial", f"{self.images}/{self.call.n}"))
        if self.charges and self.cost is not None:
            lines.append(("x-imagegate-cost-usd", dollars(self.cost)))
        return lines

    def note(self) -> None:
        """Fill the request's log line. Never a prompt, body or key."""
        usage = self.usage
        self.facts.notes.update(
            project=self.caller.project_id,
            key_id=self.caller.key_id,
            model=self.model.name,
            operation=self.call.operation.value,
            provider=self.target.provider if self.target else None,
            upstream_model=self.target.model if self.target else None,
            attempts=self.attempts,
            images=self.images,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cost_usd=dollars(self.cost) if self.charges and self.cost is not None else None,
            cost_flags=sorted({flag for charge in self.charges for flag in charge.flags}) or None,
            overhead_ms=round(self.overhead_ms, 1),
        )


def _object(names: Mapping[str, str]) -> str | None:
    return msgspec.json.encode(names).decode() if names else None


def _word(value: object) -> str | None:
    return value[:64] if isinstance(value, str) else None
