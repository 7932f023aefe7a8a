"""What the YAML may say of telemetry: where metrics and traces are sent, and what of clients is believed.

``/metrics`` needs nothing of this: it is read where the gateway listens on loopback, or with
``server.metrics_token``.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, field_validator

from config.secrets import SecretRef
from config.units import Seconds, Share, Strict


class OtlpSettings(Strict):
    """A collector that takes OTLP over HTTP (protobuf). The process environment (OTEL_EXPORTER_*, HTTP_PROXY)
    decides nothing here."""

    endpoint: str | None = Field(
        None,
        description="Such as http://collector:4318; /v1/traces and /v1/metrics are added. Absent: nothing is "
        "sent.",
    )
    headers: dict[str, SecretRef] = Field({}, description="Sent with each message, such as authorization.")
    ca_file: str | None = Field(
        None, description="A PEM file of certificate authorities, instead of the built-in list."
    )
    traces: bool = Field(True, description="Whether traces are sent.")
    metrics: bool = Field(True, description="Whether metrics are sent, besides being read at /metrics.")
    every: Seconds = Field(60.0, ge=1, le=3600, description="Between two messages with metrics.")

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected a URL such as http://collector:4318")
        return value


class TelemetrySettings(Strict):
    """Metrics, traces and the ids that join them to the log."""

    otlp: OtlpSettings = OtlpSettings()
    sample: Share = Field(Decimal(1), le=1, description="Share of the requests that are traced.")
    trust_traceparent: bool = Field(
        False,
        description="Whether a client's traceparent decides that its request is traced, and as a part of its "
        "own trace. Otherwise the request's trace is one of ours, linked to it.",
    )
    keys: list[str] = Field(
        [],
        description="Ids of keys whose own budgets are metrics too (PROJECT/NAME for those of the file). "
        "Organization and projects always are; one series for each key of thousands would be too many.",
    )
