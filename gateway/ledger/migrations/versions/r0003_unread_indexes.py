"""Indexes that nobody reads any more: what was spent is in the rollups."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("attempts_spent", "attempts_spent_by_project", "attempts_spent_by_key"):
        op.drop_index(name, "attempts")
