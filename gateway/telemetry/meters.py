"""Every metric that is counted where it happens, as OpenTelemetry instruments; what is looked at only when
somebody reads it is in ``gauges.py``.

They count into whatever meter provider the process has; without one they cost nothing. Names are stable.
Models, providers and projects in labels are named as in the configuration and the ledger, never in a client's
own words.
"""

from __future__ import annotations

from opentelemetry import metrics
from opentelemetry.metrics import Counter

from gateway.version import VERSION

# fmt: off
BUCKETS = (
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0,
    75.0, 90.0, 105.0, 120.0, 150.0, 180.0, 240.0, 300.0, 420.0, 600.0,
)
# fmt: on
"""Seconds. Pictures take up to minutes: the conventions' own buckets end below what is slow here."""

TOKEN_BUCKETS = (16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 262144.0)

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

unenforced_admits = _meter.create_counter(
    "imagegate.unenforced.admits",
    description="Admissions past limits that are open while their store is away (when_away: open).",
)

http_duration = _meter.create_histogram(
    "http.server.request.duration",
    unit="s",
    description="From a request's arrival to the end of its answer.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
request_duration = _meter.create_histogram(
    "imagegate.request.duration",
    unit="s",
    description="Calls for images, by operation, public model, provider and outcome.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
requests_in_flight = _meter.create_up_down_counter(
    "imagegate.requests.in_flight", description="Calls for images that clients wait for."
)
attempt_duration = _meter.create_histogram(
    "imagegate.attempt.duration",
    unit="s",
    description="Upstream calls, their wait for a place included, by provider, its model and outcome.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
operation_duration = _meter.create_histogram(
    "gen_ai.client.operation.duration",
    unit="s",
    description="The same in the words of the GenAI conventions.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
token_usage = _meter.create_histogram(
    "gen_ai.client.token.usage",
    unit="{token}",
    description="Tokens of upstream calls, as they were billed.",
    explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
)
provider_inflight = _meter.create_up_down_counter(
    "imagegate.provider.inflight", description="Upstream calls under way, or waiting for a place."
)
images = _meter.create_counter("imagegate.images", description="Pictures that were made and paid for.")

cost = _meter.create_counter(
    "imagegate.cost_usd", unit="{USD}", description="What settled attempts cost, in dollars."
)
cost_estimated = _meter.create_counter(
    "imagegate.cost.estimated_usd",
    unit="{USD}",
    description="What settled attempts had been expected to cost, in dollars.",
)
cost_unresolved = _meter.create_counter(
    "imagegate.cost.unresolved_usd",
    unit="{USD}",
    description="What was held for attempts that ended unknown, in dollars.",
)

_FROM_THE_START: tuple[Counter, ...] = (
    limit_alerts,
    hold_underestimate,
    price_drift,
    lease_reaped,
    killed_in_flight,
    ledger_drift,
    joins,
    suspected_duplicate,
    provider_auth_failed,
    target_changes,
    attempts_failed,
    retry_budget_exhausted,
    no_healthy_provider,
    plan_trimmed_by_budget,
    unenforced_admits,
    images,
    cost,
    cost_estimated,
    cost_unresolved,
)


def begin() -> None:
    """Every counter is there at 0, so that alert rules tell nothing from no data. Call it once a reader
    listens."""
    for counter in _FROM_THE_START:
        counter.add(0)
