"""Every metric that is counted where it happens, as OpenTelemetry instruments; what is looked at only when
somebody reads it is in ``gauges.py``.

They count into whatever meter provider the process has; without one they cost nothing. Names are stable.
Models, providers and projects in labels are named as in the configuration and the ledger, never in a client's
own words.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, UpDownCounter

from gateway.telemetry.resource import SCHEMA
from gateway.version import VERSION

# fmt: off
BUCKETS = (
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0,
    75.0, 90.0, 105.0, 120.0, 150.0, 180.0, 240.0, 300.0, 420.0, 600.0,
)
# fmt: on
"""Seconds. Pictures take up to minutes: the conventions' own buckets end below what is slow here."""

TOKEN_BUCKETS = (16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 262144.0)

DOLLARS = "{USD}"
"""A unit in braces stays out of the names that Prometheus sees."""

_meter = metrics.get_meter("imagegate", VERSION, schema_url=SCHEMA)
_names: list[str] = []
_counters: list[Counter] = []


def _counter(name: str, says: str, unit: str = "") -> Counter:
    _names.append(name)
    _counters.append(_meter.create_counter(name, unit, says))
    return _counters[-1]


def _running(name: str, says: str) -> UpDownCounter:
    _names.append(name)
    return _meter.create_up_down_counter(name, description=says)


def _histogram(name: str, says: str, unit: str = "s", buckets: Sequence[float] = BUCKETS) -> Histogram:
    _names.append(name)
    return _meter.create_histogram(name, unit, says, explicit_bucket_boundaries_advisory=buckets)


http_duration = _histogram(
    "http.server.request.duration", "From a request's arrival to the end of its answer."
)
request_duration = _histogram(
    "imagegate.request.duration", "Calls for images, by operation, public model, provider and outcome."
)
requests_in_flight = _running("imagegate.requests.in_flight", "Calls for images that clients wait for.")
joins = _counter(
    "imagegate.request.joins",
    "Calls answered by an earlier one (attached, replayed), and paid calls whose client left (client_gone).",
)
suspected_duplicate = _counter(
    "imagegate.request.suspected_duplicate",
    "Calls that came while the same one was running for a client that had not left.",
)
no_healthy_provider = _counter(
    "imagegate.requests.no_healthy_provider", "Requests that no target could be called for."
)
plan_trimmed_by_budget = _counter(
    "imagegate.plan.trimmed_by_budget", "Targets left out since their price did not fit."
)
retry_budget_exhausted = _counter(
    "imagegate.retry.budget_exhausted", "Requests not tried again for want of retry budget."
)

attempt_duration = _histogram(
    "imagegate.attempt.duration",
    "Upstream calls, their wait for a place included, by provider, its model and outcome.",
)
operation_duration = _histogram(
    "gen_ai.client.operation.duration", "The same in the words of the GenAI conventions."
)
token_usage = _histogram(
    "gen_ai.client.token.usage",
    "Tokens of upstream calls, as they were billed.",
    unit="{token}",
    buckets=TOKEN_BUCKETS,
)
attempts_failed = _counter(
    "imagegate.attempts.failed", "Upstream calls that failed, by kind, certainty and what followed."
)
killed_in_flight = _counter(
    "imagegate.attempts.killed_in_flight", "Calls that the end of their process broke off."
)
provider_inflight = _running(
    "imagegate.provider.inflight", "Upstream calls under way, or waiting for a place."
)
provider_auth_failed = _counter(
    "imagegate.provider.auth_failed", "Calls that a provider refused for the gateway's own key."
)
target_changes = _counter(
    "imagegate.target.changes", "Targets that were taken out (opened) or are well again (closed)."
)

tokens = _counter(
    "imagegate.tokens", "Tokens of upstream calls as they were billed, by type (input, output) and modality."
)
images = _counter("imagegate.images", "Pictures that were made and paid for.")
cost = _counter("imagegate.cost_usd", "What settled attempts cost, in dollars.", DOLLARS)
cost_estimated = _counter(
    "imagegate.cost.estimated_usd", "What settled attempts had been expected to cost, in dollars.", DOLLARS
)
cost_unresolved = _counter(
    "imagegate.cost.unresolved_usd", "What was held for attempts that ended unknown, in dollars.", DOLLARS
)
limit_alerts = _counter(
    "imagegate.limit.alerts", "Thresholds of limits (alert_at) that were passed, once per window."
)
unenforced_admits = _counter(
    "imagegate.unenforced.admits",
    "Admissions past limits that are open while their store is away (when_away: open).",
)
hold_underestimate = _counter(
    "imagegate.hold.underestimate", "Attempts that were billed more than was held for them."
)
price_drift = _counter("imagegate.price.drift", "Answers whose own cost differs from ours by more than 2 %.")
lease_reaped = _counter(
    "imagegate.lease.reaped", "Holds of replicas that died or stalled, by what they became."
)
ledger_drift = _counter(
    "imagegate.ledger.drift", "Counters of limits that the check found unlike the ledger."
)

config_reloads = _counter(
    "imagegate.config.reloads",
    "Times the configuration's files were read again: applied, refused or unchanged.",
)
retention_removed = _counter(
    "imagegate.retention.removed",
    "What was kept for long enough: requests cleared from the log, requests and attempts removed.",
)
telemetry_dropped = _counter(
    "imagegate.telemetry.dropped",
    "Spans that no collector got: they did not fit the queue, or were not taken.",
)
export_failures = _counter(
    "imagegate.telemetry.export_failures", "Messages that the collector did not take, by signal."
)

ALARMS = {"hold_underestimate": hold_underestimate, "price_drift": price_drift}
"""By the flag of a charge."""

NAMES = frozenset(_names)
"""Of all of them."""


def begin() -> None:
    """Every counter is there at 0, so that alert rules tell nothing from no data. Call it once a reader
    listens."""
    for counter in _counters:
        counter.add(0)
