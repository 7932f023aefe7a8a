"""Logs: JSON lines on stderr, one per request and one per event worth an operator's eye.

Never a prompt, a body, a key or an Authorization header. Library loggers (uvicorn, HTTP clients, SQLAlchemy)
run through the same writer, turned down to warnings: HTTP clients log every URL at INFO.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.telemetry.tracing import ids

_QUIET = (
    "uvicorn",
    "httpx",
    "httpx2",
    "httpcore",
    "aiohttp",
    "sqlalchemy",
    "alembic",
    "asyncio",
)

_EXPORTERS = tuple(f"opentelemetry.exporter.otlp.proto.http.{each}_exporter" for each in ("trace", "metric"))
SELDOM_SECONDS = 60.0


class Seldom(logging.Filter):
    """Lets an error pass once in :data:`SELDOM_SECONDS`, and nothing milder: exporters tell of each message
    that a collector did not take, and of each time that they try again."""

    def __init__(self) -> None:
        super().__init__()
        self._told = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or record.created - self._told < SELDOM_SECONDS:
            return False
        self._told = record.created
        return True


def configure(level: str = "INFO") -> None:
    """Call once, before anything logs."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Plain tracebacks: structlog's richer form prints local variables, which may hold prompts.
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of each regular end of a reader.
    logging.getLogger("opentelemetry.sdk.metrics._internal.export").setLevel(logging.ERROR)
    for name in _EXPORTERS:
        logging.getLogger(name).addFilter(Seldom())


def _with_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The ids that lead from a line to its trace."""
    found = ids()
    if found is not None:
        event["trace_id"], event["span_id"] = found
    return event
