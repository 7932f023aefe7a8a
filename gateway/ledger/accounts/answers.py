"""The answers of the accounts' operations as JSON: moments in UTC, dollars as exact text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.ledger.accounts.accounts import Cursor
from gateway.ledger.accounts.closing import ClosedMonth
from gateway.ledger.accounts.credits import Credit
from gateway.ledger.accounts.money import exact
from gateway.ledger.accounts.reconciliation import Comparison, Tolerance
from gateway.ledger.tables import to_micros

Json = dict[str, Any]


def month_json(month: ClosedMonth) -> Json:
    return {
        "month": str(month.span.month),
        "starts_at": iso(month.span.start),
        "ends_at": iso(month.span.end),
        "timezone": month.timezone,
        "closed_at": iso(month.closed_at),
        "closed_by": month.closed_by,
        "lines": month.lines,
        "attempts": month.attempts,
        "cost_usd": exact(month.cost),
        "credits_usd": exact(month.credits),
        "unknown_usd": exact(month.unknown),
        "unknown_lines": month.unknown_lines,
        "digest": month.digest,
    }


def credit_json(credit: Credit) -> Json:
    return {
        "id": credit.credit_id,
        "entered_at": iso(credit.entered_at),
        "counts_at": iso(credit.counts_at),
        "scope": credit.scope,
        "usd": exact(credit.amount),
        "reason": credit.reason,
        "who": credit.entered_by,
        "voids": credit.voids,
    }


def comparison_json(found: Comparison, tolerance: Tolerance) -> Json:
    return {
        "day": found.day.isoformat(),
        "model": found.model,
        "ours_usd": exact(found.ours),
        "theirs_usd": exact(found.theirs),
        "delta_usd": exact(found.delta),
        "unknown_usd": exact(found.unknown),
        "unknown_lines": found.unknown_lines,
        "verdict": str(found.verdict),
        "within": tolerance.covers(found.delta, found.theirs),
        "resolution": {
            attempt_id: None if cost is None else exact(cost) for attempt_id, cost in found.resolution.items()
        },
    }


def cursor_json(cursor: Cursor) -> Json:
    after = cursor.after
    return {
        "chunk": cursor.chunk,
        "after": None if after is None else [to_micros(after.received_at), after.request_id],
        "rest": cursor.rest,
    }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
