"""What a request was served as: the size that was asked for, sent and received, and what else was changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("size_requested", "size_sent", "size_received", "size_rule"):
        op.add_column("requests", sa.Column(name, sa.Text))
    op.add_column("requests", sa.Column("adjustments", sa.Text, comment="JSON list"))
    for name in ("size", "quality"):
        op.add_column("attempts", sa.Column(name, sa.Text))
