"""The accounts of a ledger: closed months, exports, credits, and the comparison with a provider's bill.

Every method is one short transaction or a few of them; what takes long (a close, an export) is asked for step
by step, so that a running server answers it beside its own work.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.accounts import adjustments, closing, journal, live, reconciliation
from gateway.ledger.accounts import credits as crediting
from gateway.ledger.accounts.chunks import digest_of, unpack
from gateway.ledger.accounts.closing import ClosedMonth, Closer
from gateway.ledger.accounts.credits import Credit, Given
from gateway.ledger.accounts.lines import Line, Maker, Names
from gateway.ledger.accounts.live import Position
from gateway.ledger.accounts.model_names import ModelNames
from gateway.ledger.accounts.months import Month, span
from gateway.ledger.accounts.months import Span as MonthSpan
from gateway.ledger.accounts.reconciliation import Comparison, Tolerance
from gateway.ledger.accounts.scopes import Declared, read_scope
from gateway.ledger.accounts.tables import month_chunks
from gateway.ledger.counted import Span
from gateway.ledger.records import NanoDollars
from gateway.ledger.store import Store, write

STEP_SECONDS = 2.0
"""How long one step of a close may take; it ends with the piece that it is at."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an export begins with. ``closed`` None: the month is open, and its lines may still change;
    ``labels`` and ``tags`` are the names that its lines use."""

    span: MonthSpan
    timezone: str
    organization: str
    labels: Sequence[str]
    tags: Sequence[str]
    closed: ClosedMonth | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where an export stands: at a chunk of a closed month, or after a request of an open one. ``rest``: at
    what an open month has besides."""

    chunk: int = 0
    after: Position | None = None
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """``then`` None: it was the last. ``digest`` is that of a closed month's chunk."""

    lines: Sequence[Line]
    then: Cursor | None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """The journal, and what is wrong with it: ``broken`` is the number of the first entry that is not as it
    was signed, ``altered`` are credits that differ from their entries."""

    entries: Sequence[journal.JournalEntry]
    broken: int | None
    altered: Sequence[str]


class Accounts:
    """``ledger.accounts``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def months(self) -> Sequence[ClosedMonth]:
        """The closed ones, oldest first."""
        found = await self._store.read(closing.closed)
        return [found[month] for month in sorted(found)]

    async def next_to_close(self, zone: ZoneInfo) -> Month | None:
        """The oldest open month; None while the ledger is empty."""

        def work(connection: Connection) -> Month | None:
            months = closing.closed(connection)
            return max(months).next if months else live.first_month(connection, zone)

        return await self._store.read(work)

    async def close(
        self, month: Month, closer: Closer, names: Names, seconds: float = STEP_SECONDS
    ) -> ClosedMonth | None:
        """One step of closing a month, to be called again with the same ``closer`` until it is closed; None:
        there is more to do. Raises :class:`InvalidRequest` where it cannot be closed now."""
        zone = ZoneInfo(closer.timezone)
        until = time.monotonic() + seconds
        already = (await self._store.read(closing.closed)).get(month)
        if already is not None:
            return already
        here = await self._store.read(lambda c: closing.due(c, month, zone, datetime.now(UTC)))
        make = Maker(names, zone)
        while True:
            chunk = await self._store.read(lambda c: closing.next_chunk(c, here, closer.closing_id, make))
            if chunk is None:
                break
            await write(self._store, lambda c, chunk=chunk: closing.keep(c, chunk))  # type: ignore[misc]
            if time.monotonic() >= until:
                return None
        latecomers = await self._store.read(lambda c: closing.found_late(c, here, make))
        now = datetime.now(UTC)
        return await write(self._store, lambda c: closing.finish(c, here, closer, make, latecomers, now))

    async def head(self, month: Month, timezone: str, organization: str) -> Head:
        """Raises :class:`InvalidRequest` for a month that has not begun."""

        def work(connection: Connection) -> Head:
            months = closing.closed(connection)
            found = months.get(month)
            if found is not None:
                return Head(found.span, found.timezone, found.organization, found.labels, found.tags, found)
            here = span(month, ZoneInfo(timezone), closing.spans(months))
            if here.start > datetime.now(UTC):
                raise InvalidRequest(f"{month} has not begun.", param="month")
            labels, tags = _names(connection, here, months)
            return Head(here, timezone, organization, sorted(labels), sorted(tags), None)

        return await self._store.read(work)

    async def piece(self, month: Month, cursor: Cursor, timezone: str, names: Names) -> Piece:
        """The lines at ``cursor``; the first is ``Cursor()``."""

        def work(connection: Connection) -> Piece:
            months = closing.closed(connection)
            found = months.get(month)
            if found is not None:
                return _kept(connection, found, cursor)
            zone = ZoneInfo(timezone)
            here = span(month, zone, closing.spans(months))
            make = Maker(names, zone)
            if cursor.rest:
                return Piece(_rest(connection, here, months, make), None)
            page = live.page(connection, here, cursor.after, make)
            return Piece(page.lines, Cursor(after=page.after, rest=page.after is None))

        return await self._store.read(work)

    async def give(
        self,
        scope: str,
        model: str | None,
        amount: NanoDollars,
        *,
        reason: str,
        entered_by: str,
        declared: Declared,
        signing_key: bytes,
    ) -> Credit:
        """Enter a credit; see credits.py. Raises :class:`InvalidRequest` and :class:`NotFound`."""
        now = datetime.now(UTC)

        def work(connection: Connection) -> Credit:
            found = read_scope(connection, scope, model, declared)
            return crediting.give(connection, signing_key, found, amount, reason, entered_by, now)

        return await write(self._store, work)

    async def void(self, credit_id: str, *, reason: str, entered_by: str, signing_key: bytes) -> Credit:
        """Take a credit back. Raises :class:`NotFound` and :class:`InvalidRequest`."""
        now = datetime.now(UTC)
        return await write(
            self._store, lambda c: crediting.void(c, signing_key, credit_id, reason, entered_by, now)
        )

    async def credits(self) -> Sequence[Credit]:
        return await self._store.read(crediting.listed)

    async def given(self, spans: Sequence[Span]) -> Given:
        """What scopes were given in windows; see credits.py."""
        return await self._store.read(lambda c: crediting.given(c, spans))

    async def book(self, signing_key: bytes) -> Book:
        def work(connection: Connection) -> Book:
            entries, broken = journal.entries(connection, signing_key)
            return Book(entries, broken, crediting.unlike_journal(connection, entries))

        return await self._store.read(work)

    async def compare(
        self,
        provider: str,
        days: Sequence[date],
        theirs: Mapping[tuple[date, str], int],
        tolerance: Tolerance,
        names: ModelNames,
        billed: Collection[date],
    ) -> Sequence[Comparison]:
        """The ledger beside a bill; see reconciliation.py."""
        return await self._store.read(
            lambda c: reconciliation.compare(c, provider, days, theirs, tolerance, names, billed=billed)
        )

    async def reconcile(
        self,
        provider: str,
        days: Sequence[date],
        theirs: Mapping[tuple[date, str], int],
        tolerance: Tolerance,
        names: ModelNames,
        billed: Collection[date],
        *,
        source: str,
        entered_by: str,
        signing_key: bytes,
    ) -> Sequence[Comparison]:
        """The same, and what it explains is resolved."""
        now = datetime.now(UTC)

        def work(connection: Connection) -> Sequence[Comparison]:
            found = reconciliation.compare(
                connection, provider, days, theirs, tolerance, names, billed=billed, lock=True
            )
            return reconciliation.resolve(connection, signing_key, provider, found, source, entered_by, now)

        return await write(self._store, work)


def _kept(connection: Connection, month: ClosedMonth, cursor: Cursor) -> Piece:
    here = (month_chunks.c.closing_id == month.closing_id, month_chunks.c.number == cursor.chunk)
    body = connection.scalar(select(month_chunks.c.body).where(*here))
    if body is None:
        raise NotFound(f"Chunk {cursor.chunk} of {month.span.month} is gone from the database.")
    more = cursor.chunk + 1 < month.chunks
    return Piece(unpack(body), Cursor(chunk=cursor.chunk + 1) if more else None, digest_of(body))


def _rest(
    connection: Connection, here: MonthSpan, months: Mapping[Month, ClosedMonth], make: Maker
) -> list[Line]:
    """An open month's late lines, adjustments and credits."""
    before = months.get(here.month.previous)
    first_open = before is not None
    lines = [] if before is None else adjustments.late(connection, before.span, here, make)
    lines += adjustments.adjustments(connection, here, make, first_open=first_open)
    return lines + closing.credit_lines(connection, here, make)


def _names(
    connection: Connection, here: MonthSpan, months: Mapping[Month, ClosedMonth]
) -> tuple[set[str], set[str]]:
    """Adjustments are of closed months, so those count with the next open one."""
    labels, tags = live.names(connection, here)
    for each in months.values():
        if each.unknown_lines:
            labels.update(each.labels)
            tags.update(each.tags)
    return labels, tags
