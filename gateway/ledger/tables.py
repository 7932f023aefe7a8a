"""The ledger's tables (SQLAlchemy Core), the same on SQLite and PostgreSQL.

* Money is integer nano-dollars (64-bit).
* A moment is integer microseconds since 1970 UTC: exact, ordered and indexed alike on both databases, where a
  text or a zoned timestamp would be compared differently. :class:`Moment` turns it into aware datetimes.
* SQLite tables are STRICT, so that a wrong type is an error and not a silently stored text.
* ``attempts`` repeats its request's ``received_at``, ``project_id``, ``key_id``, ``model`` and end user: a
  cost belongs to the window and the scopes in which the request was admitted, and one table then answers
  "what was spent".
* Which window that is, ``admitted_at`` says: the moment of the hold by the clock of the store that holds.
* An end user is a digest wherever sums are made (the name of its counters); ``requests`` has it in clear.

The schema is made by ``migrations/``, not from here; a test holds the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite

from gateway.ledger.records import AttemptState

BigInt = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
"""64 bits on both; STRICT tables know no BIGINT."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC. Raises ValueError for a naive datetime: its instant is not known."""
    if moment.tzinfo is None:
        raise ValueError("a moment in the ledger needs a time zone")
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


class Moment(TypeDecorator[datetime]):
    """An aware datetime outside, integer microseconds inside."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(sqlite.INTEGER() if dialect.name == "sqlite" else BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


metadata = MetaData()

_STATES = ", ".join(f"'{state}'" for state in AttemptState)

# Literals and not parameters: a planner uses a partial index only for a condition it can read.
ENDED = text(f"attempts.state IN ('{AttemptState.SETTLED}', '{AttemptState.RELEASED}')")
OPEN = text(f"attempts.state IN ('{AttemptState.DISPATCHED}', '{AttemptState.UNKNOWN}')")
_ENDED = text(f"state IN ('{AttemptState.SETTLED}', '{AttemptState.RELEASED}')")
_OPEN = text(f"state IN ('{AttemptState.DISPATCHED}', '{AttemptState.UNKNOWN}')")

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_strict=True,
)
"""Facts about this database: ``instance_id``, ``created_at``."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("redacted", Text, nullable=False),
    Column("models", Text, comment="JSON list of public model names; NULL: every model of the project"),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    UniqueConstraint("digest", name="api_keys_digest"),
    sqlite_strict=True,
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("received_at", Moment, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("size", Text),
    Column("quality", Text),
    Column("output_format", Text),
    Column("end_user", Text),
    Column("end_user_digest", Text),
    Column("client_request_id", Text),
    Column("tags", Text, comment="JSON object"),
    Column("labels", Text, comment="JSON object: the project's at admission"),
    Column("external_key_id", Text),
    Column("ended_at", Moment),
    Column("status", Integer),
    Column("error_code", Text),
    Column("provider", Text),
    Column("attempts", Integer),
    Column("images", Integer),
    Column("cost", BigInt),
    Column("overhead_ms", Integer),
    Column("client_gone", Integer, nullable=False, server_default=text("0")),
    Column("size_requested", Text),
    Column("size_sent", Text),
    Column("size_received", Text),
    Column("size_rule", Text),
    Column("adjustments", Text, comment="JSON list"),
    CheckConstraint("client_gone IN (0, 1)", name="requests_client_gone"),
    CheckConstraint("cost >= 0", name="requests_cost"),
    CheckConstraint("(ended_at IS NULL) = (status IS NULL)", name="requests_end"),
    Index("requests_received", "received_at"),
    Index("requests_of_key", "key_id", "received_at"),
    sqlite_strict=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id", name="attempts_request"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("end_user_digest", Text),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("dispatched_at", Moment, nullable=False),
    Column("price_version", Text),
    Column("admitted_at", Moment, nullable=False),
    Column("epoch", BigInt, nullable=False),
    Column("hold", Text, comment="see gateway/quota/holds.py; NULL: no limit applied"),
    Column("hold_amount", BigInt, comment="nano-dollars; NULL: not known"),
    Column("hold_tokens", BigInt),
    Column("expected", BigInt, comment="nano-dollars; NULL: not known"),
    Column("counted_requests", Integer, nullable=False),
    Column("counted_images", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended_at", Moment),
    Column("http_status", Integer),
    Column("kind", Text),
    Column("certainty", Text),
    Column("error_code", Text),
    Column("upstream_request_id", Text),
    Column("input_tokens", BigInt),
    Column("input_text_tokens", BigInt),
    Column("input_image_tokens", BigInt),
    Column("cached_text_tokens", BigInt),
    Column("cached_image_tokens", BigInt),
    Column("output_tokens", BigInt),
    Column("output_text_tokens", BigInt),
    Column("output_image_tokens", BigInt),
    Column("total_tokens", BigInt),
    Column("cost", BigInt, comment="nano-dollars; NULL: not known"),
    Column("cost_catalogue", BigInt, comment="by our prices, where the answer told a cost of its own"),
    Column("cost_reported", BigInt, comment="the answer's own"),
    Column("flags", Text, comment="comma-separated, see gateway/images/pricing.py"),
    Column("images", Integer),
    Column("size", Text),
    Column("quality", Text),
    Column("step", Text, comment="next, same_again or stop"),
    Column("because", Text, comment="see gateway/routing/decision.py"),
    Column("drill", Integer, nullable=False, server_default=text("0")),
    CheckConstraint(f"state IN ({_STATES})", name="attempts_state"),
    CheckConstraint(f"(state = '{AttemptState.DISPATCHED}') = (ended_at IS NULL)", name="attempts_end"),
    CheckConstraint("cost >= 0", name="attempts_cost"),
    CheckConstraint(
        "hold_amount >= 0 AND hold_tokens >= 0 AND expected >= 0 AND counted_images >= 0",
        name="attempts_held",
    ),
    CheckConstraint(
        f"state <> '{AttemptState.RELEASED}' OR cost IS NULL OR cost = 0", name="attempts_released"
    ),
    UniqueConstraint("request_id", "ordinal", name="attempts_ordinal"),
    Index("attempts_received", "received_at"),
    # What has ended, by the window it counts in: read where the rollup does not know it yet.
    Index("attempts_counted", "admitted_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
    # What is still open: all but empty at any time.
    Index("attempts_open", "admitted_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    sqlite_strict=True,
)

epochs = Table(
    "epochs",
    metadata,
    Column("number", BigInt, primary_key=True, autoincrement=False),
    Column("run_id", Text, comment="of the store that the counters were built in; NULL: not compared"),
    Column("begun_at", Moment, nullable=False),
    sqlite_strict=True,
)
"""Each building of the counters; the newest is in force."""

rollup_marks = Table(
    "rollup_marks",
    metadata,
    Column("rollup", Text, primary_key=True),
    Column("slot", BigInt, primary_key=True, autoincrement=False),
    Column("mark_id", Text, primary_key=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Slots of a rollup whose rows have changed since it was made; see gateway/ledger/rollups.py."""

usage_rollup = Table(
    "usage_rollup",
    metadata,
    Column("slot", BigInt, primary_key=True, autoincrement=False),
    Column("project_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests", BigInt, nullable=False),
    Column("images", BigInt, nullable=False),
    Column("failed", BigInt, nullable=False),
    Column("input_tokens", BigInt, nullable=False),
    Column("output_tokens", BigInt, nullable=False),
    Column("cost", BigInt, comment="NULL: none is known"),
    Column("unknown_cost", BigInt, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Sums of requests by the moment they were received."""

counted_rollup = Table(
    "counted_rollup",
    metadata,
    Column("slot", BigInt, primary_key=True, autoincrement=False),
    Column("project_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("end_user_digest", Text, primary_key=True, comment="empty: none was named"),
    Column("model", Text, primary_key=True),
    Column("spend", BigInt, nullable=False),
    Column("tokens", BigInt, nullable=False),
    Column("requests", BigInt, nullable=False),
    Column("images", BigInt, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""What ended attempts count against limits, by the moment they were admitted."""
