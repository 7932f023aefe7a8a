"""How many series a metric may have, and what they are not called by; in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from opentelemetry.sdk.metrics import Counter
from gateway.telemetry import meters
from gateway.telemetry.exemplars import Families
from gateway.telemetry.metering import LIMITS, attach
from prometheus_client.exposition import generate_latest

families = Families({**LIMITS, Counter: 10})
attach(families.reader)
for number in range(100):
    meters.images.add(1, {"project": str(number), "model": "m", "provider": "p"})
print(generate_latest(families).decode())
"""


def test_series_end_at_a_limit_and_nothing_is_lost_from_their_sum() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.startswith("imagegate_images_total{")]
    assert len(lines) == 11, done.stderr  # with the one without labels, which is always there
    assert sum('otel_metric_overflow="true"' in line for line in lines) == 1
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == 100
    assert "otel_scope" not in done.stdout
