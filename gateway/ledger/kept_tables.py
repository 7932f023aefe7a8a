"""The tables of answers that somebody may come back for, and of messages that are on their way to somebody.

A call without an idempotency key whose client stays has no row here.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint, text

from gateway.ledger.tables import BigInt, Moment, metadata

STATES = ("running", "done", "lost", "expired")

RUNNING = text("results.state = 'running'")
ORPHANED = text("results.left_at IS NOT NULL AND results.claimed_by IS NULL")
_RUNNING = text("state = 'running'")
_ORPHANED = text("left_at IS NOT NULL AND claimed_by IS NULL")

results = Table(
    "results",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="see gateway/engine/fingerprint.py"),
    Column("idempotency_key", Text),
    Column("respond_async", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("lease_until", Moment, nullable=False, comment="while running: its replica lives so long"),
    Column("left_at", Moment, comment="when its client left; NULL: nobody may claim it"),
    Column("claimed_by", Text, comment="the request that its answer was given to"),
    Column("ended_at", Moment),
    Column("status", Integer),
    Column("headers", Text, comment="JSON list of pairs"),
    Column("content_type", Text),
    Column("media_id", Text, comment="of the answer's bytes"),
    Column("size", BigInt, comment="of the answer in bytes"),
    Column("error", Text, comment="JSON object, in place of media_id"),
    Column("expires_at", Moment, comment="when the answer goes, then when the row does"),
    CheckConstraint("state IN ('running', 'done', 'lost', 'expired')", name="results_state"),
    CheckConstraint("respond_async IN (0, 1)", name="results_async"),
    CheckConstraint("(state = 'running') = (expires_at IS NULL)", name="results_expiry"),
    UniqueConstraint("key_id", "route", "idempotency_key", name="results_of_key"),
    Index("results_running", "lease_until", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    Index("results_orphaned", "left_at", sqlite_where=_ORPHANED, postgresql_where=_ORPHANED),
    Index("results_expiring", "expires_at"),
    sqlite_strict=True,
)
"""States::

    running ── done ── expired        its answer is there; its answer is gone, and its key is still known
            └─ lost                   its replica died, or nobody knows how it ended

A row whose call never made anything is deleted."""

outbox = Table(
    "outbox",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("body", Text, nullable=False, comment="JSON, as it is signed and sent"),
    Column("created_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", Moment, nullable=False, comment="also the end of the lease of who is trying"),
    Index("outbox_due", "next_try_at"),
    sqlite_strict=True,
)
"""Messages to projects' webhooks that nobody has taken yet."""
