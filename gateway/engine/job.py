"""One client request on its way through the engine: what it is, what it has tried, what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter

import msgspec

from config.prices import PriceVersion
from gateway.caller import Caller
from gateway.engine.answer import RequestFacts
from gateway.engine.finishing import Report
from gateway.engine.late import LateAnswers
from gateway.engine.pictures import Order
from gateway.engine.planning import Planned
from gateway.engine.record import with_hold
from gateway.engine.served import Served
from gateway.images.amounts import Charge, NanoDollars, Usage, dollars
from gateway.images.call import ImageCall
from gateway.images.estimate import PriceRange
from gateway.images.fitted import Adjustment
from gateway.images.sniff import Picture
from gateway.images.usage import add
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt, NewRequest, RequestEnd
from gateway.quota.holds import Hold
from gateway.routing.directory import PublicModel, Target
from gateway.routing.plan import Candidate


@dataclass(slots=True)
class Job:
    call: ImageCall
    model: PublicModel
    caller: Caller
    facts: RequestFacts
    planned: Planned
    deadline: float
    """``perf_counter`` seconds at which the client must have its answer."""
    attempts: int = 0
    """Upstream calls so far, each batch of a candidate one."""
    charges: list[Charge] = field(default_factory=list)
    """Of the attempts that were not released."""
    released: int = 0
    upstream_seconds: float = 0.0
    heard_at: float = 0.0
    """``perf_counter`` at which a provider was last heard."""
    served: Served | None = None
    """By the candidate that was admitted last."""
    images: int = 0
    """Made and paid for."""
    usage: Usage | None = None
    late: LateAnswers = field(default_factory=LateAnswers)
    ended: bool = False
    recorded: bool = False
    """Whether the request has a row: from its first admission on."""
    rate_lines: Sequence[tuple[str, str]] = ()
    """Rate headers of the last admission."""
    downgraded: bool = False
    """Whether a target was left out since its price did not fit under a limit."""

    @property
    def end_user(self) -> str | None:
        """The call's own word, else the project's header's."""
        return self.call.end_user or self.facts.end_user

    @property
    def awaited(self) -> int:
        """Calls that may still end, though their attempts were given up."""
        return self.late.awaited

    @property
    def target(self) -> Target | None:
        return self.served.candidate.target if self.served else None

    @property
    def pictures(self) -> int:
        """How many the client gets, so far."""
        return len(self.served.pictures) if self.served else 0

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

    def heard(self, since: float) -> None:
        """A provider was waited for since then (``perf_counter``). Calls that run side by side count once."""
        now = perf_counter()
        self.upstream_seconds += now - max(since, self.heard_at)
        self.heard_at = now

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
        self,
        candidate: Candidate,
        call: ImageCall,
        hold: Hold,
        price: PriceVersion | None,
        held: PriceRange | None,
    ) -> NewAttempt:
        """Counts the attempt; call once per hold. ``call`` is what the candidate's target is sent."""
        self.attempts += 1
        attempt = NewAttempt(
            attempt_id=f"{self.facts.request_id}/{self.attempts}",
            request_id=self.facts.request_id,
            ordinal=self.attempts,
            provider=candidate.target.provider,
            upstream_model=candidate.target.model,
            dispatched_at=datetime.now(UTC),
            price_version=price.version if price else None,
            size=_word(candidate.fitted.size.sent),
            quality=_word(call.params.get("quality")),
        )
        return with_hold(
            attempt,
            hold if hold.lines else None,
            amount=held.high if held else None,
            tokens=held.tokens if held else None,
            expected=held.expected if held else None,
        )

    def order(self) -> Order:
        """How the pictures of the candidate that was admitted last are delivered."""
        assert self.served is not None
        return Order(
            self.facts.request_id,
            self.deadline,
            finish=self.served.candidate.fitted.finish,
            as_url=self.call.delivery.response_format == "url",
            base_url=self.facts.base_url,
            strict=self.call.strict,
            provider=self.served.candidate.target.provider,
        )

    @property
    def reporting(self) -> Report | None:
        """Makes the body's report, where the caller wants one."""
        return self.report if self.call.delivery.report else None

    def delivered(self, pictures: Sequence[Picture], came_out: Sequence[Adjustment]) -> None:
        """Pictures that the client gets, and what came out other than planned."""
        assert self.served is not None
        self.served = self.served.delivered(pictures, came_out)

    def report(self, pictures: Sequence[Picture], came_out: Sequence[Adjustment]) -> dict[str, object]:
        """What the body says of these pictures. Its cost is null while attempts run."""
        assert self.served is not None
        cost = self.cost if len(self.charges) + self.released == self.attempts else None
        return (
            replace(self.served, pictures=(), came_out=())
            .delivered(pictures, came_out)
            .report(cost, self.facts.request_id)
        )

    def end(self, status: int, error_code: str | None = None, *, client_gone: bool = False) -> RequestEnd:
        served = self.served.record() if self.served and self.pictures else None
        is_booked = len(self.charges) + self.released >= self.attempts
        return RequestEnd(
            request_id=self.facts.request_id,
            ended_at=datetime.now(UTC),
            status=status,
            error_code=error_code,
            provider=self.target.provider if self.target else None,
            attempts=self.attempts,
            images=self.images,
            cost=self.cost if is_booked else None,
            overhead_ms=round(self.overhead_ms),
            client_gone=client_gone,
            size_requested=served.size_requested if served else None,
            size_sent=served.size_sent if served else None,
            size_received=served.size_received if served else None,
            size_rule=served.size_rule if served else None,
            adjustments=served.adjustments if served else None,
        )

    def settle(self, attempt: NewAttempt, end: AttemptEnd) -> AttemptEnd:
        """Book the end of an attempt into the request's own sums."""
        if end.state is AttemptState.RELEASED:
            self.released += 1
        else:
            self.charges.append(end.charge or Charge(None, ("unknown",), attempt.price_version))
        self.images += end.images or 0
        self.usage = add(self.usage, end.usage)
        return end

    def headers(self, *, complete: bool = True) -> list[tuple[str, str]]:
        """What the caller is told about how it is served. Sent before the body: of a stream, which is not
        ``complete`` then, not what its pictures cost and how many came."""
        lines = [
            ("x-imagegate-provider", self.target.provider if self.target else ""),
            ("x-imagegate-model", self.target.model if self.target else ""),
            ("x-imagegate-attempts", str(self.attempts)),
            ("x-imagegate-overhead-ms", f"{self.overhead_ms:.1f}"),
            *(self.served.headers(complete=complete) if self.served else ()),
            *([("x-imagegate-downgraded", "budget")] if self.downgraded else []),
            *self.rate_lines,
        ]
        if not complete:
            return lines
        if self.pictures < self.call.n:
            lines.append(("x-imagegate-partial", f"{self.pictures}/{self.call.n}"))
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
            downgraded=self.downgraded or None,
            rule=self.planned.ruled.ruling.rule,
        )


def _object(names: Mapping[str, str]) -> str | None:
    return msgspec.json.encode(names).decode() if names else None


def _word(value: object) -> str | None:
    return value[:64] if isinstance(value, str) else None
