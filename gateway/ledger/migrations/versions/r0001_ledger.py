"""The first schema: meta, api_keys, requests, attempts, epochs, rollups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_SETTLED = sa.text("state = 'settled'")
_ENDED = sa.text("state IN ('settled', 'released')")
_OPEN = sa.text("state IN ('dispatched', 'unknown')")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("redacted", sa.Text, nullable=False),
        sa.Column(
            "models", sa.Text, comment="JSON list of public model names; NULL: every model of the project"
        ),
        sa.Column("created_at", _BIG, nullable=False),
        sa.Column("expires_at", _BIG),
        sa.Column("revoked_at", _BIG),
        sa.UniqueConstraint("digest", name="api_keys_digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("received_at", _BIG, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("size", sa.Text),
        sa.Column("quality", sa.Text),
        sa.Column("output_format", sa.Text),
        sa.Column("end_user", sa.Text),
        sa.Column("end_user_digest", sa.Text),
        sa.Column("client_request_id", sa.Text),
        sa.Column("tags", sa.Text, comment="JSON object"),
        sa.Column("labels", sa.Text, comment="JSON object: the project's at admission"),
        sa.Column("external_key_id", sa.Text),
        sa.Column("ended_at", _BIG),
        sa.Column("status", sa.Integer),
        sa.Column("error_code", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("attempts", sa.Integer),
        sa.Column("images", sa.Integer),
        sa.Column("cost", _BIG),
        sa.Column("overhead_ms", sa.Integer),
        sa.Column("client_gone", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.CheckConstraint("client_gone IN (0, 1)", name="requests_client_gone"),
        sa.CheckConstraint("cost >= 0", name="requests_cost"),
        sa.CheckConstraint("(ended_at IS NULL) = (status IS NULL)", name="requests_end"),
        sqlite_strict=True,
    )
    op.create_index("requests_received", "requests", ["received_at"])
    op.create_index("requests_of_key", "requests", ["key_id", "received_at"])
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("received_at", _BIG, nullable=False),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("end_user_digest", sa.Text),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("upstream_model", sa.Text, nullable=False),
        sa.Column("dispatched_at", _BIG, nullable=False),
        sa.Column("price_version", sa.Text),
        sa.Column("admitted_at", _BIG, nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("hold", sa.Text, comment="see gateway/quota/holds.py; NULL: no limit applied"),
        sa.Column("hold_amount", _BIG, comment="nano-dollars; NULL: not known"),
        sa.Column("hold_tokens", _BIG),
        sa.Column("expected", _BIG, comment="nano-dollars; NULL: not known"),
        sa.Column("counted_requests", sa.Integer, nullable=False),
        sa.Column("counted_images", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended_at", _BIG),
        sa.Column("http_status", sa.Integer),
        sa.Column("kind", sa.Text),
        sa.Column("certainty", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("upstream_request_id", sa.Text),
        sa.Column("input_tokens", _BIG),
        sa.Column("input_text_tokens", _BIG),
        sa.Column("input_image_tokens", _BIG),
        sa.Column("cached_text_tokens", _BIG),
        sa.Column("cached_image_tokens", _BIG),
        sa.Column("output_tokens", _BIG),
        sa.Column("output_text_tokens", _BIG),
        sa.Column("output_image_tokens", _BIG),
        sa.Column("total_tokens", _BIG),
        sa.Column("cost", _BIG, comment="nano-dollars; NULL: not known"),
        sa.Column("cost_catalogue", _BIG, comment="by our prices, where the answer told a cost of its own"),
        sa.Column("cost_reported", _BIG, comment="the answer's own"),
        sa.Column("flags", sa.Text, comment="comma-separated, see gateway/images/pricing.py"),
        sa.Column("images", sa.Integer),
        sa.ForeignKeyConstraint(["request_id"], ["requests.request_id"], name="attempts_request"),
        sa.CheckConstraint(
            "state IN ('dispatched', 'settled', 'released', 'unknown')", name="attempts_state"
        ),
        sa.CheckConstraint("(state = 'dispatched') = (ended_at IS NULL)", name="attempts_end"),
        sa.CheckConstraint("cost >= 0", name="attempts_cost"),
        sa.CheckConstraint(
            "hold_amount >= 0 AND hold_tokens >= 0 AND expected >= 0 AND counted_images >= 0",
            name="attempts_held",
        ),
        sa.CheckConstraint("state <> 'released' OR cost IS NULL OR cost = 0", name="attempts_released"),
        sa.UniqueConstraint("request_id", "ordinal", name="attempts_ordinal"),
        sqlite_strict=True,
    )
    for name, columns in (
        ("attempts_spent", ["received_at", "cost", "state"]),
        ("attempts_spent_by_project", ["project_id", "received_at", "cost", "state"]),
        ("attempts_spent_by_key", ["key_id", "received_at", "cost", "state"]),
    ):
        op.create_index(name, "attempts", columns, sqlite_where=_SETTLED, postgresql_where=_SETTLED)
    op.create_index("attempts_received", "attempts", ["received_at"])
    for name, condition in (("attempts_counted", _ENDED), ("attempts_open", _OPEN)):
        op.create_index(name, "attempts", ["admitted_at"], sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "epochs",
        sa.Column("number", _BIG, primary_key=True, autoincrement=False),
        sa.Column(
            "run_id", sa.Text, comment="of the store that the counters were built in; NULL: not compared"
        ),
        sa.Column("begun_at", _BIG, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "rollup_marks",
        sa.Column("rollup", sa.Text, primary_key=True),
        sa.Column("slot", _BIG, primary_key=True, autoincrement=False),
        sa.Column("mark_id", sa.Text, primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_rollup",
        sa.Column("slot", _BIG, primary_key=True, autoincrement=False),
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("requests", _BIG, nullable=False),
        sa.Column("images", _BIG, nullable=False),
        sa.Column("failed", _BIG, nullable=False),
        sa.Column("input_tokens", _BIG, nullable=False),
        sa.Column("output_tokens", _BIG, nullable=False),
        sa.Column("cost", _BIG, comment="NULL: none is known"),
        sa.Column("unknown_cost", _BIG, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counted_rollup",
        sa.Column("slot", _BIG, primary_key=True, autoincrement=False),
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("end_user_digest", sa.Text, primary_key=True, comment="empty: none was named"),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("spend", _BIG, nullable=False),
        sa.Column("tokens", _BIG, nullable=False),
        sa.Column("requests", _BIG, nullable=False),
        sa.Column("images", _BIG, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
