"""Whose trace a request belongs to, and which are taken."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.tracing import Tracing, ids

SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def count(headers: dict[str, str], *, sample: float, trusting: bool, times: int = 200) -> int:
    spans = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(spans), sample=sample, trusting=trusting)
    for _ in range(times):
        with tracing.request("GET /v1/models", headers, {}):
            assert ids() is not None
    return len(spans.get_finished_spans())


def test_a_share_of_the_requests_is_traced() -> None:
    assert count({}, sample=1.0, trusting=False) == 200
    assert count({}, sample=0.0, trusting=False) == 0
    assert 0 < count({}, sample=0.5, trusting=False) < 200


def test_only_a_trusted_client_decides_what_is_traced() -> None:
    assert count(SAMPLED, sample=0.0, trusting=False) == 0
    assert count(SAMPLED, sample=0.0, trusting=True) == 200


def test_nonsense_in_a_traceparent_does_no_harm() -> None:
    for text in ("", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 5000):
        spans = InMemorySpanExporter()
        with Tracing(SimpleSpanProcessor(spans)).request("GET /x", {"traceparent": text}, {}):
            pass
        (span,) = spans.get_finished_spans()
        assert span.links == ()
        assert span.parent is None


def test_outside_of_a_request_there_are_no_ids() -> None:
    assert ids() is None
