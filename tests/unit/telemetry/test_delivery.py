"""What a collector that cannot keep up costs: a queue of a known size, a count, and a line a minute."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from gateway.telemetry import delivery
from gateway.telemetry.collector import Collector
from gateway.telemetry.delivery import Losses, Spans, spans_to
from tests import servers
from tests.conftest import NOT_TESTED
from tests.simulators import otlp_collector
from tests.simulators.file_server import tls_for

CALLS = 50


class Stuck(SpanExporter):
    """Takes a message and keeps it until ``gate`` opens."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.gate = threading.Event()
        self.inside = threading.Event()
        self.spans: list[str] = []
        self._result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.inside.set()
        self.gate.wait(30)
        self.spans += [span.name for span in spans]
        return self._result


class Counted(Losses):
    def __init__(self) -> None:
        super().__init__("traces")
        self.full = self.failed = 0

    def no_room(self) -> None:
        self.full += 1

    def not_taken(self, spans: int = 0) -> None:
        self.failed += spans


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"QUEUE": 8, "BATCH": 4, "EVERY": 0.01}.items():
        monkeypatch.setattr(delivery, name, value)


def sent(processor: Spans, *names: str) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    for name in names:
        tracer.start_span(name).end()
    return provider


def test_what_does_not_fit_is_counted_and_no_more_is_kept_than_fits() -> None:
    exporter, losses = Stuck(), Counted()
    processor = Spans(exporter, losses)
    first = sent(processor, "first")
    assert exporter.inside.wait(30)
    provider = sent(processor, *(f"span {number}" for number in range(CALLS)))
    assert losses.full == CALLS - 7, "one is on its way, and counts too"
    exporter.gate.set()
    provider.shutdown()
    assert exporter.spans == ["first", *(f"span {number}" for number in range(7))]
    first.shutdown()


def test_there_is_room_again_once_messages_are_taken() -> None:
    exporter, losses = Stuck(), Counted()
    exporter.gate.set()
    processor = Spans(exporter, losses)
    for number in range(CALLS):
        sent(processor, str(number))
        processor.force_flush()
    assert (len(exporter.spans), losses.full) == (CALLS, 0)
    processor.shutdown()


def test_spans_of_a_message_that_is_not_taken_are_lost_and_counted() -> None:
    exporter, losses = Stuck(SpanExportResult.FAILURE), Counted()
    exporter.gate.set()
    processor = Spans(exporter, losses)
    sent(processor, "a", "b", "c")
    processor.force_flush()
    processor.shutdown()
    assert losses.failed == 3


def test_losses_are_told_once_a_minute_with_how_many_there_were() -> None:
    now = 0.0
    losses = Losses("traces", clock=lambda: now)
    with capture_logs() as logs:
        for _ in range(5):
            losses.no_room()
        now = delivery.QUIET_SECONDS + 1
        losses.not_taken(10)
        losses.not_taken(10)
    assert [(line["because"], line["spans"]) for line in logs] == [("queue_full", 1), ("not_taken", 14)]


def test_the_environment_adds_no_header_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-theirs=1,authorization=theirs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{servers.free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    with otlp_collector.Collector() as collector:
        processor = spans_to(Collector(collector.url, {"x-ours": "2"}))
        sent(processor, "a").shutdown()
    (headers,) = collector.headers
    assert collector.spans() == ["a"]
    assert headers["x-ours"] == "2"
    assert not headers.keys() & {"x-theirs", "authorization"}
    assert headers["content-encoding"] == "gzip"


def test_a_collector_with_a_certificate_of_ones_own_authority(tmp_path: Path) -> None:
    try:
        context, authority = tls_for("IP:127.0.0.1", tmp_path)
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    with otlp_collector.Collector(tls=context) as collector:
        trusting = spans_to(Collector(collector.url, ca_file=authority))
        sent(trusting, "a").shutdown()
        with pytest.raises(requests.exceptions.SSLError):
            Collector(collector.url).session().request("POST", collector.url, data=b"", timeout=10)
    assert collector.spans() == ["a"]
