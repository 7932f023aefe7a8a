"""The tables of closed months, credits and the journal. Rows are only ever added, but for the pieces of a
closing that was given up.

A closed month is its lines as they stood, in chunks of compressed JSON: an export reads them and nothing
else, so it stays the same whatever happens to the ledger's rows, even when they are deleted.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from gateway.ledger.tables import BigInt, Moment, metadata

closed_months = Table(
    "closed_months",
    metadata,
    Column("month", Text, primary_key=True),
    Column("closing_id", Text, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("closed_at", Moment, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("lines", BigInt, nullable=False),
    Column("attempts", BigInt, nullable=False),
    Column("cost", BigInt, nullable=False),
    Column("credits", BigInt, nullable=False),
    Column("unknown", BigInt, nullable=False),
    Column("unknown_lines", BigInt, nullable=False),
    Column("labels", Text, nullable=False, comment="JSON list of names"),
    Column("tags", Text, nullable=False, comment="JSON list of names"),
    Column("digest", Text, nullable=False, comment="SHA-256 over the chunks' own"),
    sqlite_strict=True,
)

month_chunks = Table(
    "month_chunks",
    metadata,
    Column("closing_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("month", Text, nullable=False),
    Column("last_received_at", Moment, nullable=False),
    Column("last_request_id", Text, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("cost", BigInt, nullable=False),
    Column("credits", BigInt, nullable=False),
    Column("unknown", BigInt, nullable=False),
    Column("unknown_lines", Integer, nullable=False),
    Column("labels", Text, nullable=False, comment="JSON list of names"),
    Column("tags", Text, nullable=False, comment="JSON list of names"),
    Column("open", Text, nullable=False, comment="JSON: attempts that had not ended, and what they may cost"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the body"),
    Column("body", LargeBinary, nullable=False, comment="zlib of a JSON list of lines"),
    sqlite_strict=True,
)

carried = Table(
    "carried",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("month", Text, nullable=False),
    Column("unknown", BigInt, comment="nano-dollars that the closed month lists for it; NULL: not known"),
    sqlite_strict=True,
)
"""Attempts that had not ended when their month was closed."""

booked = Table(
    "booked",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("month", Text, nullable=False),
    sqlite_strict=True,
)
"""Which closed month has the adjustment for an attempt of an earlier one."""

credits = Table(
    "credits",
    metadata,
    Column("credit_id", Text, primary_key=True),
    Column("entered_at", Moment, nullable=False),
    Column("counts_at", Moment, nullable=False, comment="decides the windows"),
    Column("scope", Text, nullable=False, comment="as gateway/quota/terms.py names it"),
    Column("project_id", Text),
    Column("key_id", Text),
    Column("model", Text),
    Column("amount", BigInt, nullable=False, comment="nano-dollars given; negative where it takes one back"),
    Column("reason", Text, nullable=False),
    Column("entered_by", Text, nullable=False),
    Column("voids", Text),
    UniqueConstraint("voids", name="credits_voided_once"),
    CheckConstraint("amount <> 0", name="credits_amount"),
    CheckConstraint("(amount < 0) = (voids IS NOT NULL)", name="credits_voids"),
    Index("credits_counted", "counts_at"),
    Index("credits_entered", "entered_at"),
    sqlite_strict=True,
)

journal = Table(
    "account_journal",
    metadata,
    Column("number", BigInt, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("entered_by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("body", Text, nullable=False, comment="JSON object"),
    Column("mac", Text, nullable=False, comment="HMAC-SHA-256 of this entry and of the one before"),
    sqlite_strict=True,
)
"""Who closed, credited and resolved what, each entry signed together with the one before."""
