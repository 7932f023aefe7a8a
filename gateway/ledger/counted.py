"""What ended attempts count against limits, by the moment of their admission.

Money settles at its cost, where none is known at what was held; tokens likewise; a request and its images
count once, with the first attempt, for good once that was sent. What is still open is not in these sums: the
holds say it (``snapshot.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, FromClause, case, func, literal, select, type_coerce

from gateway.images.pricing import MOST_TOKENS
from gateway.ledger.records import AttemptState, Usage
from gateway.ledger.rollups import Rollup, read
from gateway.ledger.tables import ENDED, BigInt, attempts, counted_rollup, to_micros

FOREVER = 2**62
"""Microseconds: the end of what has no end."""


@dataclass(frozen=True, slots=True)
class Span:
    """A window [start, end) to be summed; ``end`` None: it has none. ``bucket_ms``: sums by buckets of that
    length, numbered from 1970."""

    start: datetime
    end: datetime | None = None
    bucket_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Sums of one key, end user and model. ``spend`` in nano-dollars; ``end_user_digest`` empty: none was
    named; ``bucket`` 0 where the span has no buckets."""

    bucket: int
    project_id: str
    key_id: str
    end_user_digest: str
    model: str
    spend: int
    tokens: int
    requests: int
    images: int


def counted(connection: Connection, span: Span, before: datetime | None) -> list[Counted]:
    """The sums of attempts that were admitted in ``span`` and before ``before``."""
    lo = to_micros(span.start)
    hi = min(FOREVER if end is None else to_micros(end) for end in (span.end, before))
    if lo >= hi:
        return []
    start, length = (0, span.bucket_ms * 1000) if span.bucket_ms else (lo, FOREVER)
    if not span.bucket_ms:
        # One group: any start that lies on a slot will do.
        start = lo // ROLLUP.slot_micros * ROLLUP.slot_micros
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in read(connection, ROLLUP, lo, hi, start=start, length=length):
        amounts: list[int] = list(row[5:])
        group = tuple(row[:5])
        known = sums.get(group, [0] * len(amounts))
        sums[group] = [a + b for a, b in zip(known, amounts, strict=True)]
    return [Counted(*group, *amounts) for group, amounts in sums.items()]


def used_tokens(usage: Usage) -> int | None:
    """Tokens that an attempt used, as :data:`USED_TOKENS` says it of its row; None: it does not tell."""
    counts = (usage.total_tokens, usage.input_tokens, usage.output_tokens)
    total, into, out = (count if count is None or count <= MOST_TOKENS else None for count in counts)
    if total is not None:
        return total
    return None if into is None or out is None else into + out


USED_TOKENS = func.coalesce(attempts.c.total_tokens, attempts.c.input_tokens + attempts.c.output_tokens)


def _rows(lo: int, hi: int) -> FromClause:
    settled = attempts.c.state == AttemptState.SETTLED
    moment = type_coerce(attempts.c.admitted_at, BigInt)
    return (
        select(
            moment.label("moment"),
            attempts.c.project_id,
            attempts.c.key_id,
            func.coalesce(attempts.c.end_user_digest, "").label("end_user_digest"),
            attempts.c.model,
            case((settled, func.coalesce(attempts.c.cost, attempts.c.hold_amount, 0)), else_=0).label(
                "spend"
            ),
            case((settled, func.coalesce(USED_TOKENS, attempts.c.hold_tokens, 0)), else_=0).label("tokens"),
            attempts.c.counted_requests.label("requests"),
            attempts.c.counted_images.label("images"),
        )
        .where(ENDED, moment >= literal(lo, BigInt), moment < literal(hi, BigInt))
        .subquery("ended")
    )


ROLLUP = Rollup(
    name="counted",
    table=counted_rollup,
    # The buckets of rolling days, weeks, months, quarters and years are whole multiples of 12 minutes.
    slot_micros=12 * 60 * 1_000_000,
    dimensions=("project_id", "key_id", "end_user_digest", "model"),
    sums=("spend", "tokens", "requests", "images"),
    rows=_rows,
)


def slots(moments: Sequence[datetime]) -> set[tuple[Rollup, int]]:
    """The slots that these moments of admission lie in."""
    return {(ROLLUP, to_micros(moment) // ROLLUP.slot_micros) for moment in moments}
