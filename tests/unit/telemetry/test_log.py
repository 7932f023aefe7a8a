"""Lines of the log lead to their trace; in a process of its own, whose logging is set once."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from gateway.telemetry import log

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


def test_errors_of_exporters_are_told_once_a_minute_and_nothing_milder() -> None:
    seldom = log.Seldom()
    told = []
    for second, level in ((0, "WARNING"), (1, "ERROR"), (2, "ERROR"), (60, "ERROR"), (62, "ERROR")):
        record = logging.LogRecord("x", getattr(logging, level), "", 0, "away", None, None)
        record.created = 1000.0 + second
        if seldom.filter(record):
            told.append(second)
    assert told == [1, 62]
