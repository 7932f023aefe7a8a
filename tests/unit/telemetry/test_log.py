"""Lines of the log lead to their trace; in a process of its own, whose logging is set once."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from gateway.telemetry import log
from gateway.telemetry.tracing import Tracing

log.configure()
tracing = Tracing(SimpleSpanProcessor(InMemorySpanExporter()))
structlog.get_logger("imagegate").info("outside")
with tracing.request("GET /x", {}, {}) as span:
    structlog.get_logger("imagegate").info("ours")
    logging.getLogger("a.library").warning("theirs")
    context = span.get_span_context()
    print(f"{context.trace_id:032x} {context.span_id:016x}")
"""


def test_a_line_has_the_ids_of_the_trace_that_it_is_written_in() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    trace, span = done.stdout.split()
    outside, *inside = (json.loads(line) for line in done.stderr.splitlines())
    assert "trace_id" not in outside
    assert [line["event"] for line in inside] == ["ours", "theirs"]
    assert {(line["trace_id"], line["span_id"]) for line in inside} == {(trace, span)}
