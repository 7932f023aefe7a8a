"""Telemetry of one gateway, opened and closed: what is read at ``/metrics``, what is sent to a collector."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import Tracer

from config.telemetry import TelemetrySettings
from gateway.telemetry.collector import Collector
from gateway.telemetry.gauges import Board
from gateway.telemetry.metering import Prometheus, attach, detach, pushing
from gateway.telemetry.tracing import Tracing, sending

LAST_WORD_SECONDS = 2.0
"""For what still waits to reach the collector, when the gateway ends."""


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
    Raises :class:`config.secrets.SecretMissing` for a header of the collector."""
    collector = _collector(settings, base)
    async with AsyncExitStack() as stack:
        board = Board()
        board.show()
        stack.callback(board.hide)
        prometheus = Prometheus() if readable else None
        if prometheus is not None:
            attach(prometheus.reader)
            stack.push_async_callback(_ended, partial(detach, prometheus.reader))
        pushes = collector is not None and settings.otlp.metrics
        if collector is not None and pushes:
            reader = pushing(collector, settings.otlp.every)
            attach(reader)
            stack.push_async_callback(_ended, partial(detach, reader))
        if processor is None and collector is not None and settings.otlp.traces:
            processor = sending(collector)
        tracing = None
        if processor is not None:
            tracing = Tracing(processor, sample=float(settings.sample), trusting=settings.trust_traceparent)
            stack.push_async_callback(_ended, tracing.shutdown)
        yield Telemetry(board, prometheus, pushes, tracing)


def _collector(settings: TelemetrySettings, base: Path) -> Collector | None:
    otlp = settings.otlp
    if otlp.endpoint is None:
        return None
    headers = {name: ref.resolve(base).reveal() for name, ref in otlp.headers.items()}
    return Collector(otlp.endpoint, headers)


async def _ended(close: Callable[[], None]) -> None:
    """Wait for ``close``, but not for ever: a collector that is away must not keep the process."""
    thread = threading.Thread(target=close, daemon=True, name="telemetry-end")
    thread.start()
    await asyncio.to_thread(thread.join, LAST_WORD_SECONDS)
