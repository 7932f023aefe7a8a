"""Telemetry of one gateway, opened and closed: what is read at ``/metrics``, what is sent to a collector."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import structlog
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import Tracer

from config.telemetry import TelemetrySettings
from gateway.errors import Unavailable
from gateway.telemetry.collector import Collector
from gateway.telemetry.delivery import spans_to
from gateway.telemetry.gauges import Board
from gateway.telemetry.metering import Prometheus, attach, detach, pushing
from gateway.telemetry.tracing import Tracing

LAST_WORD_SECONDS = 2.0
"""For all that still waits to reach the collector, when the gateway ends."""

_log = structlog.get_logger("imagegate.telemetry")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """``prometheus`` is there where metrics may be read; ``pushes`` says whether they are sent, too."""

    board: Board
    prometheus: Prometheus | None = None
    pushes: bool = False
    tracing: Tracing | None = None

    @property
    def tracer(self) -> Tracer | None:
        return None if self.tracing is None else self.tracing.tracer

    @property
    def is_on(self) -> bool:
        """Whether anybody reads anything."""
        return self.prometheus is not None or self.pushes or self.tracing is not None


@asynccontextmanager
async def open_telemetry(
    settings: TelemetrySettings, base: Path, *, readable: bool, processor: SpanProcessor | None = None
) -> AsyncIterator[Telemetry]:
    """``readable``: whether ``/metrics`` is told. ``processor`` takes the spans in place of a collector.
    Raises :class:`config.secrets.SecretMissing` for a header of the collector and :class:`Unavailable` for
    its ``ca_file``, each with a text for the operator."""
    collector = _collector(settings, base)
    board = Board()
    closing: list[Callable[[], None]] = []
    try:
        board.show()
        prometheus = Prometheus() if readable else None
        if prometheus is not None:
            attach(prometheus.reader)
            closing.append(partial(detach, prometheus.reader))
        pushes = collector is not None and settings.otlp.metrics
        if collector is not None and pushes:
            reader = pushing(collector, settings.otlp.every)
            attach(reader)
            closing.append(partial(detach, reader))
        if processor is None and collector is not None and settings.otlp.traces:
            processor = spans_to(collector)
        tracing = None
        if processor is not None:
            tracing = Tracing(processor, sample=float(settings.sample), trusting=settings.trust_traceparent)
            closing.append(tracing.shutdown)
        yield Telemetry(board, prometheus, pushes, tracing)
    finally:
        await asyncio.to_thread(_ended, closing)
        board.hide()


def _collector(settings: TelemetrySettings, base: Path) -> Collector | None:
    otlp = settings.otlp
    if otlp.endpoint is None:
        return None
    headers = {name: ref.resolve(base).reveal() for name, ref in otlp.headers.items()}
    ca_file = None if otlp.ca_file is None else base / otlp.ca_file
    if ca_file is not None and not ca_file.is_file():
        raise Unavailable(f"telemetry.otlp.ca_file: there is no file {ca_file}", code="no_ca_file")
    return Collector(otlp.endpoint, headers, ca_file=ca_file)


def _ended(closing: Sequence[Callable[[], None]]) -> None:
    """Wait for all of them, but not for ever: a collector that is away must not keep the process."""
    until = monotonic() + LAST_WORD_SECONDS
    threads = [threading.Thread(target=close, daemon=True, name="telemetry-end") for close in closing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - monotonic(), 0))
    if any(thread.is_alive() for thread in threads):
        _log.warning("telemetry_lost", because="ended", seconds=LAST_WORD_SECONDS)
