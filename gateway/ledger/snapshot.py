"""What the keepers of limits ask: one consistent view of what attempts are, and of what windows sum up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from gateway.ledger.accounts.credits import Given, given
from gateway.ledger.counted import USED_TOKENS, Counted, Span, counted
from gateway.ledger.records import AttemptState, NanoDollars
from gateway.ledger.rollups import chunks
from gateway.ledger.tables import OPEN, attempts


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of an attempt; ``cost`` and ``tokens`` None: not known, the hold counts. ``sent``
    False: no call was made, and its request does not count."""

    state: AttemptState
    cost: NanoDollars | None
    tokens: int | None
    sent: bool


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A row in ``dispatched`` or ``unknown``. ``hold`` None: no limit applied when it was admitted; amounts
    None: not known. ``end_user_digest`` empty: none was named."""

    attempt_id: str
    state: AttemptState
    admitted_at: datetime
    hold: str | None
    project_id: str
    key_id: str
    end_user_digest: str
    model: str
    hold_amount: NanoDollars | None
    hold_tokens: int | None
    requests: int
    images: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``sums`` and credits in the order of the spans that were asked for."""

    standings: Mapping[str, Standing]
    open: Sequence[OpenAttempt]
    sums: Sequence[Sequence[Counted]]
    given: Given


def snapshot(
    connection: Connection, ids: Sequence[str], before: datetime | None, spans: Sequence[Span]
) -> Snapshot:
    """Open attempts and sums are of attempts admitted before ``before``; None: of all. Credits are always all
    that were entered."""
    return Snapshot(
        standings(connection, ids),
        _open(connection, before),
        [counted(connection, span, before) for span in spans],
        given(connection, spans),
    )


def standings(connection: Connection, ids: Sequence[str]) -> dict[str, Standing]:
    """Of those attempts that have a row."""
    found = {}
    # Only a request's first attempt counts for it, and is told apart by that where it was not sent.
    sent = or_(attempts.c.counted_requests > 0, attempts.c.ordinal > 1)
    columns = (
        attempts.c.attempt_id,
        attempts.c.state,
        attempts.c.cost,
        USED_TOKENS.label("tokens"),
        sent.label("sent"),
    )
    for part in chunks(ids):
        for row in connection.execute(select(*columns).where(attempts.c.attempt_id.in_(part))):
            found[row.attempt_id] = Standing(AttemptState(row.state), row.cost, row.tokens, bool(row.sent))
    return found


def _open(connection: Connection, before: datetime | None) -> list[OpenAttempt]:
    query = select(attempts).where(OPEN)
    if before is not None:
        query = query.where(attempts.c.admitted_at < before)
    return [
        OpenAttempt(
            attempt_id=row.attempt_id,
            state=AttemptState(row.state),
            admitted_at=row.admitted_at,
            hold=row.hold,
            project_id=row.project_id,
            key_id=row.key_id,
            end_user_digest=row.end_user_digest or "",
            model=row.model,
            hold_amount=row.hold_amount,
            hold_tokens=row.hold_tokens,
            requests=row.counted_requests,
            images=row.counted_images,
        )
        for row in connection.execute(query)
    ]
