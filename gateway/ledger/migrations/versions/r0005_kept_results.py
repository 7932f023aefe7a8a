"""Answers that somebody may come back for, and the outbox of messages to projects' webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
_RUNNING = sa.text("state = 'running'")
_ORPHANED = sa.text("left_at IS NOT NULL AND claimed_by IS NULL")


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False, comment="see gateway/engine/fingerprint.py"),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("respond_async", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("begun_at", _BIG, nullable=False),
        sa.Column("lease_until", _BIG, nullable=False, comment="while running: its replica lives so long"),
        sa.Column("left_at", _BIG, comment="when its client left; NULL: nobody may claim it"),
        sa.Column("claimed_by", sa.Text, comment="the request that its answer was given to"),
        sa.Column("ended_at", _BIG),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text, comment="JSON list of pairs"),
        sa.Column("content_type", sa.Text),
        sa.Column("media_id", sa.Text, comment="of the answer's bytes"),
        sa.Column("size", _BIG, comment="of the answer in bytes"),
        sa.Column("error", sa.Text, comment="JSON object, in place of media_id"),
        sa.Column("expires_at", _BIG, comment="when the answer goes, then when the row does"),
        sa.CheckConstraint("state IN ('running', 'done', 'lost', 'expired')", name="results_state"),
        sa.CheckConstraint("respond_async IN (0, 1)", name="results_async"),
        sa.CheckConstraint("(state = 'running') = (expires_at IS NULL)", name="results_expiry"),
        sa.UniqueConstraint("key_id", "route", "idempotency_key", name="results_of_key"),
        sqlite_strict=True,
    )
    op.create_index(
        "results_running", "results", ["lease_until"], sqlite_where=_RUNNING, postgresql_where=_RUNNING
    )
    op.create_index(
        "results_orphaned", "results", ["left_at"], sqlite_where=_ORPHANED, postgresql_where=_ORPHANED
    )
    op.create_index("results_expiring", "results", ["expires_at"])
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="JSON, as it is signed and sent"),
        sa.Column("created_at", _BIG, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_try_at", _BIG, nullable=False, comment="also the end of the lease of who is trying"),
        sqlite_strict=True,
    )
    op.create_index("outbox_due", "outbox", ["next_try_at"])
