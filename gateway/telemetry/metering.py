"""The process's one meter provider and who reads it: Prometheus at ``/metrics``, a collector by OTLP.

OpenTelemetry lets a process set its provider once; readers come and go with the gateway that opens them.
"""

from __future__ import annotations

from functools import cache
from threading import Lock

from opentelemetry import metrics
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableGauge,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricReader, PeriodicExportingMetricReader
from prometheus_client.exposition import choose_encoder

from gateway.telemetry.collector import Collector
from gateway.telemetry.delivery import MetricMessages
from gateway.telemetry.exemplars import Families
from gateway.telemetry.meters import begin
from gateway.telemetry.resource import resource

LIMITS: CardinalityLimits = {Counter: 20_000, ObservableGauge: 20_000, Histogram: 4_000}
"""Series of one metric, by its kind; what comes beyond is counted together, as ``otel_metric_overflow``.
Money is told by project, model and provider; a histogram's series are a score of lines each."""


@cache
def _provider() -> MeterProvider:
    provider = MeterProvider(resource=resource(), exemplar_filter=TraceBasedExemplarFilter())
    metrics.set_meter_provider(provider)
    return provider


def attach(reader: MetricReader) -> None:
    """Let ``reader`` see what is counted from now on."""
    _provider().add_metric_reader(reader)
    begin()


def detach(reader: MetricReader) -> None:
    """The reader's last word goes out, and nothing more reaches it. It may block: call it in a thread."""
    if isinstance(reader, PeriodicExportingMetricReader):
        reader.force_flush()
    _provider().remove_metric_reader(reader)


class Prometheus:
    """What Prometheus reads. ``text`` takes milliseconds: call it in a thread."""

    def __init__(self) -> None:
        self._families = Families(LIMITS)
        self._reading = Lock()

    @property
    def reader(self) -> MetricReader:
        return self._families.reader

    def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics for who asks for it, else Prometheus's text."""
        encode, content_type = choose_encoder(accept)
        with self._reading:
            return encode(self._families), content_type


def pushing(collector: Collector, every: float) -> MetricReader:
    """Sends everything each ``every`` seconds, from a thread of its own."""
    milliseconds = every * 1000
    return PeriodicExportingMetricReader(MetricMessages(collector), milliseconds, milliseconds, LIMITS)
