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
killed_in_flight = _meter.create_counter(
    "imagegate.attempts.killed_in_flight", description="Calls that the end of their process broke off."
)
ledger_drift = _meter.create_counter(
    "imagegate.ledger.drift", description="Counters of limits that the check found unlike the ledger."
)
joins = _meter.create_counter(
    "imagegate.request.joins",
    description="Calls answered by an earlier one (attached, replayed), and paid calls whose client left "
    "(client_gone).",
)
suspected_duplicate = _meter.create_counter(
    "imagegate.request.suspected_duplicate",
    description="Calls that came while the same one was running for a client that had not left.",
)

provider_auth_failed = _meter.create_counter(
    "imagegate.provider.auth_failed", description="Calls that a provider refused for the gateway's own key."
)
target_changes = _meter.create_counter(
    "imagegate.target.changes", description="Targets that were taken out (opened) or are well again (closed)."
)
attempts_failed = _meter.create_counter(
    "imagegate.attempts.failed",
    description="Upstream calls that failed, by kind, certainty and what followed.",
)
retry_budget_exhausted = _meter.create_counter(
    "imagegate.retry.budget_exhausted", description="Requests not tried again for want of retry budget."
)
no_healthy_provider = _meter.create_counter(
    "imagegate.requests.no_healthy_provider", description="Requests that no target could be called for."
)
plan_trimmed_by_budget = _meter.create_counter(
    "imagegate.plan.trimmed_by_budget", description="Targets left out since their price did not fit."
)

ALARMS = {"hold_underestimate": hold_underestimate, "price_drift": price_drift}
"""By the flag of a charge."""
