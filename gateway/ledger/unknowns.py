"""Attempts of which nobody knows how they ended: found after a crash, and resolved by policy in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, String, and_, case, func, literal, select, update

from gateway.ledger import touched
from gateway.ledger.records import AttemptState, NanoDollars
from gateway.ledger.rollups import chunks
from gateway.ledger.tables import OPEN, attempts

TOGETHER = 500
"""Attempts of one transaction."""


class UnknownPolicy(StrEnum):
    CHARGE_EXPECTED = "charge_expected"
    """Settle at what it was expected to cost (else at what it held), flagged ``estimated``."""
    RELEASE = "release"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Resolved:
    """``cost`` None: released."""

    attempt_id: str
    cost: NanoDollars | None


def interrupt_running(connection: Connection, now: datetime) -> int:
    """Mark what a killed process left ``dispatched`` as ``unknown``; returns how many. Only where this
    process is the only one: another replica's running calls look the same."""
    running = and_(OPEN, attempts.c.state == AttemptState.DISPATCHED)
    ids = connection.scalars(select(attempts.c.attempt_id).where(running)).all()
    return _become_unknown(connection, ids, now, "interrupted")


def mark_unknown(connection: Connection, ids: Sequence[str], now: datetime) -> int:
    """The same for attempts whose lease is out: their replica died, or stalls and may still end them."""
    return _become_unknown(connection, ids, now, "lease_lapsed")


def _become_unknown(connection: Connection, ids: Sequence[str], now: datetime, why: str) -> int:
    changed = 0
    for part in chunks(ids, TOGETHER):
        lost = update(attempts).where(
            attempts.c.attempt_id.in_(part), attempts.c.state == AttemptState.DISPATCHED
        )
        values = {"state": str(AttemptState.UNKNOWN), "ended_at": now, "error_code": why}
        changed += connection.execute(lost.values(values)).rowcount
    return changed


def resolve(
    connection: Connection, admitted_before: datetime, policy: UnknownPolicy, now: datetime
) -> Sequence[Resolved]:
    """Resolve up to ``TOGETHER`` attempts that were admitted before a moment and are still open: unknown
    ones, and ``dispatched`` ones too, since no call runs that long. What cannot be priced stays as it is."""
    if policy is UnknownPolicy.KEEP:
        return []
    likely = func.coalesce(attempts.c.expected, attempts.c.hold_amount)
    charged = policy is UnknownPolicy.CHARGE_EXPECTED
    old = and_(OPEN, attempts.c.admitted_at < admitted_before)
    query = select(attempts.c.attempt_id).where(old).order_by(attempts.c.admitted_at).limit(TOGETHER)
    ids = connection.scalars(query.where(likely.is_not(None)) if charged else query).all()
    estimated = literal("estimated", String)
    flags = case(
        (attempts.c.flags.is_(None), estimated), else_=attempts.c.flags + literal(",", String) + estimated
    )
    values = (
        {"state": str(AttemptState.SETTLED), "cost": likely, "flags": flags}
        if charged
        else {"state": str(AttemptState.RELEASED), "cost": 0}
    )
    done = connection.execute(
        update(attempts)
        .where(OPEN, attempts.c.attempt_id.in_(ids))
        .values(**values, ended_at=now)
        .returning(attempts.c.attempt_id, attempts.c.cost)
    ).all()
    touched.by_batch(connection, ended=[row.attempt_id for row in done])
    return [Resolved(row.attempt_id, NanoDollars(row.cost) if charged else None) for row in done]
