"""What metrics, traces and the log are told of upstream calls: how each ended, how long it took, its cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

import structlog
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from gateway.engine.admission import Admission
from gateway.engine.job import Job
from gateway.errors import GatewayError
from gateway.images.amounts import NANO, NanoDollars, Usage, dollars
from gateway.ledger.records import AttemptEnd, AttemptState
from gateway.telemetry import meters
from gateway.telemetry.tracing import failed
from providers.base import ProviderError

_log = structlog.get_logger("imagegate.engine")

SYSTEMS: Mapping[str, str] = {
    "openai": "openai",
    "azure-openai": "azure.ai.openai",
    "azure-flux": "azure.ai.inference",
    "azure-mai": "azure.ai.inference",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "xai": "x_ai",
}
"""The GenAI conventions' word for a type of account; any other is called as its type."""

OPERATION = "generate_content"
"""The conventions have no word for images; this one, with ``gen_ai.output.type``, is what others say too."""


class Ending:
    """How a call ended, in one word: ``ok``, a provider's failure by its kind, or ``internal``."""

    def __init__(self) -> None:
        self.outcome = "ok"
        self.certainty: str | None = None

    def failed(self, error: Exception) -> None:
        if isinstance(error, ProviderError):
            self.outcome, self.certainty = error.kind.value, error.certainty.value
        else:
            self.outcome = (error.code or "internal") if isinstance(error, GatewayError) else "internal"


class AttemptsTold:
    """``types`` are those of the accounts, by name. Without a ``tracer`` there are no spans."""

    def __init__(self, types: Mapping[str, str], tracer: Tracer | None = None) -> None:
        self._systems = {name: SYSTEMS.get(kind, kind) for name, kind in types.items()}
        self._tracer = tracer

    @contextmanager
    def attempt(self, job: Job, admission: Admission) -> Iterator[Ending]:
        """Around one upstream call."""
        ending, begun = Ending(), perf_counter()
        at = {"provider": admission.target.provider}
        meters.provider_inflight.add(1, at)
        try:
            if self._tracer is None:
                yield ending
            else:
                with self._span(self._tracer, job, admission) as span:
                    yield ending
                    _close(span, ending)
        finally:
            meters.provider_inflight.add(-1, at)
            self._timed(admission, ending, perf_counter() - begun)

    @contextmanager
    def _span(self, tracer: Tracer, job: Job, admission: Admission) -> Iterator[Span]:
        with tracer.start_as_current_span(
            f"{OPERATION} {admission.target.model}",
            kind=SpanKind.CLIENT,
            attributes=self._asked(job, admission),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    def _asked(self, job: Job, admission: Admission) -> dict[str, AttributeValue]:
        attempt, params = admission.attempt, admission.call.params
        words = {
            "imagegate.image.size": attempt.size,
            "imagegate.image.quality": attempt.quality,
            "imagegate.image.format": params.get("output_format"),
        }
        return {
            **self._genai(admission),
            "gen_ai.output.type": "image",
            "gen_ai.request.choice.count": admission.call.n,
            "gen_ai.request.stream": admission.call.stream,
            "http.request.resend_count": attempt.ordinal - 1,
            "imagegate.request.id": job.facts.request_id,
            "imagegate.attempt": attempt.ordinal,
            "imagegate.operation": job.call.operation.value,
            "imagegate.model": job.model.name,
            "imagegate.provider": admission.target.provider,
            "imagegate.project.id": job.caller.project_id,
            "imagegate.key.id": job.caller.key_id,
            **{name: word for name, word in words.items() if isinstance(word, str)},
        }

    def _genai(self, admission: Admission) -> dict[str, AttributeValue]:
        provider = admission.target.provider
        return {
            "gen_ai.operation.name": OPERATION,
            "gen_ai.provider.name": self._systems.get(provider, provider),
            "gen_ai.request.model": admission.target.model,
        }

    def _timed(self, admission: Admission, ending: Ending, seconds: float) -> None:
        target = admission.target
        meters.attempt_duration.record(
            seconds, {"provider": target.provider, "model": target.model, "outcome": ending.outcome}
        )
        labels = self._genai(admission)
        if ending.outcome != "ok":
            labels["error.type"] = ending.outcome
        meters.operation_duration.record(seconds, labels)

    def booked(self, job: Job, admission: Admission, end: AttemptEnd) -> None:
        """How an attempt ended and what it cost, once that is known or known not to be. Raises nothing: the
        books come first."""
        _log.info("attempt", **_line(job, admission, end))
        try:
            self._booked(job, admission, end)
        except Exception:
            _log.exception("metrics_failed", attempt_id=end.attempt_id)

    def _booked(self, job: Job, admission: Admission, end: AttemptEnd) -> None:
        labels = {
            "project": job.caller.project_id,
            "model": job.model.name,
            "provider": admission.target.provider,
        }
        held, usage = admission.held, end.usage
        if end.state is AttemptState.UNKNOWN and held is not None:
            meters.cost_unresolved.add(_usd(held.high), labels)
        if end.state is AttemptState.SETTLED:
            if end.charge is not None and end.charge.cost is not None:
                meters.cost.add(_usd(end.charge.cost), labels)
            if held is not None:
                meters.cost_estimated.add(_usd(held.expected), labels)
        if end.images:
            meters.images.add(end.images, labels)
        if usage is not None:
            genai = self._genai(admission)
            for kind, modality, count in tokens_of(usage):
                meters.tokens.add(count, {**labels, "type": kind, "modality": modality})
            for kind, whole in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if whole is not None:
                    meters.token_usage.record(whole, {**genai, "gen_ai.token.type": kind})
        span = trace.get_current_span()
        if span.is_recording() and end.state is AttemptState.SETTLED and end.images:
            span.set_attributes(_said(end))


def _line(job: Job, admission: Admission, end: AttemptEnd) -> dict[str, object]:
    """One line of the log for each attempt, with all that its row says and no word of a client's."""
    attempt, charge = admission.attempt, end.charge
    said = {
        "attempt_id": attempt.attempt_id,
        "request_id": attempt.request_id,
        "project": job.caller.project_id,
        "key_id": job.caller.key_id,
        "model": job.model.name,
        "provider": admission.target.provider,
        "upstream_model": admission.target.model,
        "state": end.state.value,
        "ms": round((end.ended_at - attempt.dispatched_at).total_seconds() * 1000),
        "status": end.http_status,
        "kind": end.kind,
        "certainty": end.certainty,
        "code": end.error_code,
        "step": end.step,
        "because": end.because,
        "images": end.images,
        "price_version": attempt.price_version,
        "held_usd": None if attempt.hold_amount is None else dollars(attempt.hold_amount),
        "cost_usd": None if charge is None or charge.cost is None else dollars(charge.cost),
        "upstream_request_id": end.upstream_request_id,
        "drill": end.drill or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _close(span: Span, ending: Ending) -> None:
    span.set_attribute("imagegate.outcome", ending.outcome)
    if ending.certainty is not None:
        span.set_attribute("imagegate.commit_certainty", ending.certainty)
    if ending.outcome != "ok":
        failed(span, ending.outcome)


def _said(end: AttemptEnd) -> dict[str, AttributeValue]:
    usage, charge = end.usage, end.charge
    known: dict[str, AttributeValue | None] = {
        "imagegate.image.count": end.images,
        "imagegate.cost_usd": None if charge is None or charge.cost is None else _usd(charge.cost),
        "imagegate.upstream_request_id": end.upstream_request_id,
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def tokens_of(usage: Usage) -> Iterator[tuple[str, str, int]]:
    """By type and modality. What went in and is not told apart has the modality ``any``; what came out is a
    picture then."""
    for kind, whole, text, image, untold in (
        ("input", usage.input_tokens, usage.input_text_tokens, usage.input_image_tokens, "any"),
        ("output", usage.output_tokens, usage.output_text_tokens, usage.output_image_tokens, "image"),
    ):
        parts = {"text": text, "image": image} if (text, image) != (None, None) else {untold: whole}
        for modality, count in parts.items():
            if count:
                yield kind, modality, count


def _usd(amount: NanoDollars) -> float:
    """For a picture of what is spent: metrics know no integers. Nothing is decided by it."""
    return amount / NANO
