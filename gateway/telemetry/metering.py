"""The process's one meter provider and who reads it: Prometheus at ``/metrics``, a collector by OTLP.

OpenTelemetry lets a process set its provider once; readers come and go with the gateway that opens them.
"""

from __future__ import annotations

from functools import cache

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.telemetry.collector import Collector
from gateway.telemetry.meters import begin
from gateway.telemetry.resource import resource


@cache
def _provider() -> MeterProvider:
    provider = MeterProvider(resource=resource())
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
        self._registry = CollectorRegistry()
        self.reader: MetricReader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics for who asks for it, else Prometheus's text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def pushing(collector: Collector, every: float) -> MetricReader:
    """Sends everything each ``every`` seconds, from a thread of its own."""
    exporter = OTLPMetricExporter(
        endpoint=collector.url("metrics"),
        headers=dict(collector.headers),
        timeout=collector.timeout,
        session=collector.session(),
    )
    return PeriodicExportingMetricReader(exporter, export_interval_millis=every * 1000)
