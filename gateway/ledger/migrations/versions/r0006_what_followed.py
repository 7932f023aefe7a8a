"""What followed each failed attempt and why, and which ones failed for a drill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("step", sa.Text, comment="next, same_again or stop"))
    op.add_column("attempts", sa.Column("because", sa.Text, comment="see gateway/routing/decision.py"))
    op.add_column("attempts", sa.Column("drill", sa.Integer, nullable=False, server_default=sa.text("0")))
