"""Buckets of histograms lead to traces, for readers that ask for OpenMetrics."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

PROGRAM = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from gateway.telemetry import meters
from gateway.telemetry.metering import Prometheus, attach

prometheus = Prometheus()
attach(prometheus.reader)
with TracerProvider().get_tracer("t").start_as_current_span("x") as span:
    meters.request_duration.record(42.0, {"route": "edits", "model": "", "outcome": "ok"})
    meters.http_duration.record(1.5, {"http.response.status_code": 200})
    meters.token_usage.record(1000, {"gen_ai.token.type": "input"})
    traced = span.get_span_context()
with TracerProvider(sampler=ALWAYS_OFF).get_tracer("t").start_as_current_span("y"):
    meters.request_duration.record(400.0, {"route": "edits", "model": "m", "outcome": "ok"})
meters.request_duration.record(1e9, {"route": "edits", "model": "m", "outcome": "ok"})
for accept in ("application/openmetrics-text; version=1.0.0", "text/plain", "application/openmetrics-text"):
    print(prometheus.text(accept)[0].decode(), end="===")
print(f"{traced.trace_id:032x} {traced.span_id:016x}", end="")
"""


def test_a_traced_measurement_leads_from_its_bucket_to_its_trace() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    told, plain, again, ids = done.stdout.split("===")
    trace, span = ids.split()
    found = {
        (sample.name, sample.labels["le"]): (sample.exemplar.labels, sample.exemplar.value)
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.exemplar is not None
    }
    names = {"trace_id": trace, "span_id": span}
    assert found == {
        ("imagegate_request_duration_seconds_bucket", "45.0"): (names, 42.0),
        ("http_server_request_duration_seconds_bucket", "2.0"): (names, 1.5),
        ("gen_ai_client_token_usage_bucket", "1024.0"): (names, 1000.0),
    }, done.stderr
    assert trace not in plain
    assert trace not in again, "each is told once, to the first who reads"
