"""Counters of what an operator should be woken by, as OpenTelemetry instruments.

They count into whatever meter provider the process has; without one they cost nothing. Names are stable.
"""

from __future__ import annotations

from opentelemetry import metrics

from gateway.version import VERSION

_meter = metrics.get_meter("imagegate", VERSION)

limit_alerts = _meter.create_counter(
    "imagegate.limit.alerts", description="Thresholds of limits (alert_at) that were passed, once per window."
)
hold_underestimate = _meter.create_counter(
    "imagegate.hold.underestimate", description="Attempts that were billed more than was held for them."
)
price_drift = _meter.create_counter(
    "imagegate.price.drift", description="Answers whose own cost differs from ours by more than 2 %."
)
lease_reaped = _meter.create_counter(
    "imagegate.lease.reaped", description="Holds of replicas that died or stalled, by what they became."
)
ledger_drift = _meter.create_counter(
    "imagegate.ledger.drift", description="Counters of limits that the check found unlike the ledger."
)

ALARMS = {"hold_underestimate": hold_underestimate, "price_drift": price_drift}
"""By the flag of a charge."""
