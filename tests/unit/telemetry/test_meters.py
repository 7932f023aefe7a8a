"""The counters reach whatever provider the process has, from a process of its own: a provider is set once."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from gateway.telemetry import meters
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
meters.limit_alerts.add(2, {"scope": "project"})
meters.lease_reaped.add(1, {"to": "unknown"})
data = reader.get_metrics_data()
for resource in data.resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                print(metric.name, point.value, dict(point.attributes))
"""


def test_counters_reach_the_provider_that_is_set_after_they_were_made() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "imagegate.limit.alerts 2 {'scope': 'project'}",
        "imagegate.lease.reaped 1 {'to': 'unknown'}",
    ], done.stderr
