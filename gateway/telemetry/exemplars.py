"""From a slow bucket of a histogram to the trace of a call that fell into it.

The SDK keeps, for each bucket, the last traced measurement since somebody read; its exporter for Prometheus
(0.66) leaves it out. It is put back here, for readers that ask for OpenMetrics: Prometheus's own text has no
place for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    CardinalityLimits,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
)
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar as Told
from prometheus_client.samples import Sample

_Key = tuple[str, frozenset[tuple[str, str]], float]
"""A family's name, a sample's labels but for ``le``, and the upper end of its bucket."""


class _Remembering(PrometheusMetricReader):
    """Reads as the exporter does, and remembers the exemplars of the last reading."""

    exemplars: Mapping[_Key, Told] = MappingProxyType({})

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        self.exemplars = dict(_of(metrics_data))
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)


class Families:
    """What ``prometheus_client``'s encoders take for a registry: everything that ``reader`` sees. One reading
    at a time."""

    def __init__(self, limits: CardinalityLimits) -> None:
        self._registry = CollectorRegistry()
        self.reader = _Remembering(
            registry=self._registry, scope_info_enabled=False, cardinality_limits=limits
        )

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            if family.type == "histogram":
                family.samples = [self._with_exemplar(family.name, sample) for sample in family.samples]
            yield family

    def _with_exemplar(self, name: str, sample: Sample) -> Sample:
        if "le" not in sample.labels:
            return sample
        labels = frozenset((key, value) for key, value in sample.labels.items() if value and key != "le")
        exemplar = self.reader.exemplars.get((name, labels, float(sample.labels["le"])))
        return sample._replace(exemplar=exemplar)


def _of(data: MetricsData) -> Iterator[tuple[_Key, Told]]:
    metrics = (
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
    for metric in metrics:
        if isinstance(metric.data, Histogram):
            for point in metric.data.data_points:
                yield from _of_point(_family(metric), point)


def _of_point(name: str, point: HistogramDataPoint) -> Iterator[tuple[_Key, Told]]:
    labels = _labels(point.attributes or {})
    ends = (*point.explicit_bounds, float("inf"))
    for exemplar in point.exemplars:
        if exemplar.trace_id and exemplar.span_id:
            end = next(each for each in ends if exemplar.value <= each)
            yield (name, labels, end), _told(exemplar)


def _told(exemplar: Exemplar) -> Told:
    assert exemplar.trace_id
    assert exemplar.span_id
    ids = {
        "trace_id": trace.format_trace_id(exemplar.trace_id),
        "span_id": trace.format_span_id(exemplar.span_id),
    }
    return Told(ids, exemplar.value, exemplar.time_unix_nano / 1e9)


def _family(metric: Metric) -> str:
    """The exporter's name for it."""
    return _word(metric.name) + ("_seconds" if metric.unit == "s" else "")


def _labels(attributes: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The exporter's names and values for them; what is empty it gives to every series."""
    told = {
        _word(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
    }
    return frozenset((key, value) for key, value in told.items() if value)


def _word(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", text)
