"""Telemetry on its way to a collector: nothing waits for it, nothing piles up, and what is lost is counted.

A collector that is away, slow or broken costs a thread and a queue of :data:`QUEUE` spans. What does not fit,
or is not taken, is dropped; metrics are sums, so a message that is lost is made up for by the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Literal

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.telemetry import meters
from gateway.telemetry.collector import Collector

QUEUE = 2048
"""Spans that wait or are on their way; a few megabytes."""

BATCH = 512
EVERY = 5.0
"""Seconds between two messages with spans, unless a batch is full before."""

QUIET_SECONDS = 60.0
"""Between two lines of the log that say the same."""

Signal = Literal["traces", "metrics"]
_log = structlog.get_logger("imagegate.telemetry")


class Losses:
    """Of one signal: counted each, told in the log once a minute at most."""

    def __init__(self, signal: Signal, clock: Callable[[], float] = monotonic) -> None:
        self._signal = signal
        self._clock = clock
        self._told = float("-inf")
        self._untold = 0
        self._lock = threading.Lock()

    def not_taken(self, spans: int = 0) -> None:
        """A message failed, with so many spans in it."""
        meters.export_failures.add(1, {"signal": self._signal})
        self._lost(spans, "not_taken")

    def no_room(self) -> None:
        """A span found the queue full."""
        self._lost(1, "queue_full")

    def _lost(self, spans: int, because: str) -> None:
        if spans:
            meters.telemetry_dropped.add(spans, {"because": because})
        with self._lock:
            self._untold += spans
            now = self._clock()
            if now - self._told < QUIET_SECONDS:
                return
            self._told, untold, self._untold = now, self._untold, 0
        _log.warning("telemetry_lost", signal=self._signal, because=because, spans=untold or None)


class Spans(BatchSpanProcessor):
    """Hands spans to ``exporter`` from a thread of its own, in batches."""

    def __init__(self, exporter: SpanExporter, losses: Losses | None = None) -> None:
        self._losses = losses or Losses("traces")
        self._room = QUEUE
        self._lock = threading.Lock()
        super().__init__(
            _Emptying(exporter, self._gone),
            max_queue_size=QUEUE,
            schedule_delay_millis=EVERY * 1000,
            max_export_batch_size=BATCH,
            export_timeout_millis=EVERY * 1000,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Costs microseconds, whatever the collector does."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            fits = self._room > 0
            self._room -= fits
        if fits:
            super().on_end(span)
        else:
            self._losses.no_room()

    def _gone(self, spans: int, *, taken: bool) -> None:
        with self._lock:
            self._room += spans
        if not taken:
            self._losses.not_taken(spans)


class _Emptying(SpanExporter):
    """``gone`` is told of each batch that has left the queue, with or without success."""

    def __init__(self, exporter: SpanExporter, gone: Callable[..., None]) -> None:
        self._exporter = exporter
        self._gone = gone

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._gone(len(spans), taken=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class MetricMessages(OTLPMetricExporter):
    """Sends metrics to a collector, and says where it does not take them."""

    def __init__(self, collector: Collector, losses: Losses | None = None) -> None:
        super().__init__(**_wire(collector, "metrics"))
        self._losses = losses or Losses("metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            self._losses.not_taken()
        return result


def spans_to(collector: Collector) -> Spans:
    return Spans(OTLPSpanExporter(**_wire(collector, "traces")))


def _wire(collector: Collector, signal: Signal) -> dict[str, Any]:
    return {
        "endpoint": collector.url(signal),
        "timeout": collector.timeout,
        "compression": Compression.Gzip,
        "session": collector.session(),
    }
