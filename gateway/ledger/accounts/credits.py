"""Credits: money given back to a scope, as entries of their own. No counter is ever set back.

A credit counts like a negative cost of its scope, in the windows that hold ``counts_at``: those in which it
was entered. It counts for that scope alone: a project's credit gives its keys nothing, and neither the
organization, whose money is spent all the same. What was given by mistake is taken back by an entry that is
the opposite and counts in the same windows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, literal, select, type_coerce

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.accounts import journal
from gateway.ledger.accounts.scopes import CreditScope
from gateway.ledger.accounts.tables import closed_months, credits
from gateway.ledger.counted import FOREVER, Span
from gateway.ledger.records import NanoDollars
from gateway.ledger.tables import BigInt, to_micros

MOST = NanoDollars(2**53 - 1)
"""As of a limit: counters are exact up to here."""


@dataclass(frozen=True, slots=True)
class Credit:
    """``amount`` in nano-dollars, negative where the entry takes one back (``voids``)."""

    credit_id: str
    entered_at: datetime
    counts_at: datetime
    scope: str
    project_id: str | None
    key_id: str | None
    model: str | None
    amount: NanoDollars
    reason: str
    entered_by: str
    voids: str | None = None


@dataclass(frozen=True, slots=True)
class Credited:
    """What a scope (``gateway.quota.terms.Scope.text``) was given in a window, to be taken off what is
    settled there; 0 where all of it was taken back. ``bucket`` 0 where the span has no buckets."""

    bucket: int
    scope: str
    amount: NanoDollars


@dataclass(frozen=True, slots=True)
class Given:
    """What scopes were given in windows, in the order of the spans that were asked for. ``entries``: how many
    there were in all, so that of two readings the later is known."""

    entries: int
    sums: Sequence[Sequence[Credited]]


def give(
    connection: Connection,
    key: bytes,
    scope: CreditScope,
    amount: NanoDollars,
    reason: str,
    entered_by: str,
    now: datetime,
) -> Credit:
    """Raises :class:`InvalidRequest`."""
    if not 0 < amount <= MOST:
        raise InvalidRequest(
            "A credit is more than nothing. To take one back, void it (--void ID).", param="usd"
        )
    journal.lock(connection)
    at = _moment(connection, now)
    credit = Credit(
        f"credit_{secrets.token_hex(12)}",
        at,
        at,
        scope.text,
        scope.project_id,
        scope.key_id,
        scope.model,
        amount,
        reason,
        entered_by,
    )
    _enter(connection, key, "credit", credit)
    return credit


def void(
    connection: Connection, key: bytes, credit_id: str, reason: str, entered_by: str, now: datetime
) -> Credit:
    """Take a credit back, whole and once. Raises :class:`NotFound`, :class:`InvalidRequest`."""
    journal.lock(connection)
    row = connection.execute(select(credits).where(credits.c.credit_id == credit_id)).first()
    if row is None:
        raise NotFound(
            f"There is no credit '{credit_id}'; 'imagegate credit --list' shows them.", param="void"
        )
    if row.voids is not None:
        raise InvalidRequest("That entry takes back a credit itself; enter a new credit.", param="void")
    if connection.scalar(select(credits.c.credit_id).where(credits.c.voids == credit_id)) is not None:
        raise InvalidRequest(f"{credit_id} was taken back before.", param="void")
    given = _credit(row)
    credit = Credit(
        f"credit_{secrets.token_hex(12)}",
        _moment(connection, now),
        given.counts_at,
        given.scope,
        given.project_id,
        given.key_id,
        given.model,
        NanoDollars(-given.amount),
        reason,
        entered_by,
        credit_id,
    )
    _enter(connection, key, "void", credit)
    return credit


def listed(connection: Connection) -> Sequence[Credit]:
    """All of them, oldest first."""
    rows = connection.execute(select(credits).order_by(credits.c.entered_at, credits.c.credit_id))
    return [_credit(row) for row in rows]


def given(connection: Connection, spans: Sequence[Span]) -> Given:
    """For the keepers of limits."""
    entries = connection.scalar(select(func.count()).select_from(credits)) or 0
    return Given(entries, [credited(connection, span) if entries else [] for span in spans])


def credited(connection: Connection, span: Span) -> list[Credited]:
    """Sums by scope of what counts in ``span``; ``gateway.ledger.counted`` tells what was spent there."""
    lo = to_micros(span.start)
    hi = FOREVER if span.end is None else to_micros(span.end)
    at = type_coerce(credits.c.counts_at, BigInt)
    length = span.bucket_ms * 1000 if span.bucket_ms else FOREVER
    bucket = (at // literal(length, BigInt)).label("bucket")
    query = (
        select(bucket, credits.c.scope, type_coerce(func.sum(credits.c.amount), BigInt).label("amount"))
        .where(at >= literal(lo, BigInt), at < literal(hi, BigInt))
        .group_by(bucket, credits.c.scope)
        .order_by(bucket, credits.c.scope)
    )
    return [
        Credited(row.bucket, row.scope, NanoDollars(int(row.amount))) for row in connection.execute(query)
    ]


def unlike_journal(connection: Connection, entries: Sequence[journal.JournalEntry]) -> list[str]:
    """The ids of credits whose rows are not what the journal says of them, or that one of both lacks."""
    said = {
        entry.body["credit_id"]: dict(entry.body) for entry in entries if entry.action in ("credit", "void")
    }
    stand = {credit.credit_id: _body(credit) for credit in listed(connection)}
    return sorted(
        credit_id for credit_id in said.keys() | stand.keys() if said.get(credit_id) != stand.get(credit_id)
    )


def _enter(connection: Connection, key: bytes, action: str, credit: Credit) -> None:
    connection.execute(credits.insert(), asdict(credit))
    journal.enter(connection, key, credit.entered_at, credit.entered_by, action, _body(credit))


def _body(credit: Credit) -> dict[str, Any]:
    moments = {name: to_micros(getattr(credit, name)) for name in ("entered_at", "counts_at")}
    return {**asdict(credit), **moments}


def _moment(connection: Connection, now: datetime) -> datetime:
    """Never in a month that is closed, whatever this machine's clock says."""
    closed = connection.scalar(select(func.max(closed_months.c.ends_at)))
    return now if closed is None else max(now, closed)


def _credit(row: Row[Any]) -> Credit:
    return Credit(**row._asdict())
