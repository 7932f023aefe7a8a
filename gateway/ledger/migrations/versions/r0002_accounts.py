"""Closed months, credits, and the journal of both."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "closed_months",
        sa.Column("month", sa.Text, primary_key=True),
        sa.Column("closing_id", sa.Text, nullable=False),
        sa.Column("starts_at", _BIG, nullable=False),
        sa.Column("ends_at", _BIG, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("closed_at", _BIG, nullable=False),
        sa.Column("closed_by", sa.Text, nullable=False),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("lines", _BIG, nullable=False),
        sa.Column("attempts", _BIG, nullable=False),
        sa.Column("cost", _BIG, nullable=False),
        sa.Column("credits", _BIG, nullable=False),
        sa.Column("unknown", _BIG, nullable=False),
        sa.Column("unknown_lines", _BIG, nullable=False),
        sa.Column("labels", sa.Text, nullable=False, comment="JSON list of names"),
        sa.Column("tags", sa.Text, nullable=False, comment="JSON list of names"),
        sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 over the chunks' own"),
        sqlite_strict=True,
    )
    op.create_table(
        "month_chunks",
        sa.Column("closing_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("last_received_at", _BIG, nullable=False),
        sa.Column("last_request_id", sa.Text, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("cost", _BIG, nullable=False),
        sa.Column("credits", _BIG, nullable=False),
        sa.Column("unknown", _BIG, nullable=False),
        sa.Column("unknown_lines", sa.Integer, nullable=False),
        sa.Column("labels", sa.Text, nullable=False, comment="JSON list of names"),
        sa.Column("tags", sa.Text, nullable=False, comment="JSON list of names"),
        sa.Column(
            "open",
            sa.Text,
            nullable=False,
            comment="JSON: attempts that had not ended, and what they may cost",
        ),
        sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 of the body"),
        sa.Column("body", sa.LargeBinary, nullable=False, comment="zlib of a JSON list of lines"),
        sqlite_strict=True,
    )
    op.create_table(
        "carried",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column(
            "unknown", _BIG, comment="nano-dollars that the closed month lists for it; NULL: not known"
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "booked",
        sa.Column("attempt_id", sa.Text, primary_key=True),
        sa.Column("month", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "credits",
        sa.Column("credit_id", sa.Text, primary_key=True),
        sa.Column("entered_at", _BIG, nullable=False),
        sa.Column("counts_at", _BIG, nullable=False, comment="decides the windows"),
        sa.Column("scope", sa.Text, nullable=False, comment="as gateway/quota/terms.py names it"),
        sa.Column("project_id", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column(
            "amount", _BIG, nullable=False, comment="nano-dollars given; negative where it takes one back"
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("entered_by", sa.Text, nullable=False),
        sa.Column("voids", sa.Text),
        sa.UniqueConstraint("voids", name="credits_voided_once"),
        sa.CheckConstraint("amount <> 0", name="credits_amount"),
        sa.CheckConstraint("(amount < 0) = (voids IS NOT NULL)", name="credits_voids"),
        sqlite_strict=True,
    )
    op.create_index("credits_counted", "credits", ["counts_at"])
    op.create_index("credits_entered", "credits", ["entered_at"])
    op.create_table(
        "account_journal",
        sa.Column("number", _BIG, primary_key=True, autoincrement=False),
        sa.Column("at", _BIG, nullable=False),
        sa.Column("entered_by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="JSON object"),
        sa.Column("mac", sa.Text, nullable=False, comment="HMAC-SHA-256 of this entry and of the one before"),
        sqlite_strict=True,
    )
