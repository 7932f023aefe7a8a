"""Traces: one span for each request, one for each upstream call, none for what lies between.

Beside the attributes of the GenAI conventions, which change, stand our own ``imagegate.*``, which do not. No
attribute holds a prompt, a body, a key or a path with a client's words in it. Providers are never sent a
``traceparent``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from gateway.telemetry.resource import SCHEMA, resource
from gateway.version import VERSION

Attributes = Mapping[str, AttributeValue]
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Of one gateway. ``trusting``: a client's ``traceparent`` makes its request a part of the client's own
    trace; else it is only linked."""

    def __init__(self, processor: SpanProcessor, *, sample: float = 1.0, trusting: bool = False) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)), resource=resource(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._trusting = trusting
        self.tracer: Tracer = self._provider.get_tracer("imagegate", VERSION, SCHEMA)

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Iterator[Span]:
        """The span of a client's request. ``headers`` are its ``traceparent`` and ``tracestate``."""
        context, links = self._origin(headers)
        with self.tracer.start_as_current_span(
            name,
            context,
            SpanKind.SERVER,
            attributes,
            links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    def _origin(self, headers: Mapping[str, str]) -> tuple[Context, list[Link]]:
        told = _propagator.extract(headers, Context())
        if self._trusting:
            return told, []
        whose = trace.get_current_span(told).get_span_context()
        return Context(), [Link(whose)] if whose.is_valid else []

    def shutdown(self) -> None:
        """What is still waiting goes out. It may block: call it in a thread."""
        self._provider.shutdown()


def failed(span: Span, word: str) -> None:
    """Mark a span by what went wrong, in one word of ours."""
    span.set_attribute("error.type", word)
    span.set_status(Status(StatusCode.ERROR))


def ids() -> tuple[str, str] | None:
    """Trace and span of what runs now, in hex; None outside of any."""
    whose = trace.get_current_span().get_span_context()
    if not whose.is_valid:
        return None
    return trace.format_trace_id(whose.trace_id), trace.format_span_id(whose.span_id)
