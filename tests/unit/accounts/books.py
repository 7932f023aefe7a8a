"""Short ways to keep accounts in tests: months of a year that is long over, closed and read back."""

from __future__ import annotations

import io
import secrets
from datetime import UTC, datetime

from gateway.ledger.accounts.accounts import Cursor
from gateway.ledger.accounts.closing import ClosedMonth, Closer
from gateway.ledger.accounts.columns import Columns
from gateway.ledger.accounts.focus import Focus, Period
from gateway.ledger.accounts.journal import signing_key
from gateway.ledger.accounts.lines import Line, Names
from gateway.ledger.accounts.months import Month
from gateway.ledger.accounts.sheet import Sheet
from gateway.ledger.ledger import Ledger

KEY = signing_key(b"pepper")
NAMES = Names({"proj_growth": "growth"}, {"key_1": "ci"})
ZONE = "Europe/Vienna"


def on(month: int, day: int, hour: int = 12) -> datetime:
    """A moment of 2024."""
    return datetime(2024, month, day, hour, tzinfo=UTC)


def closer(zone: str = ZONE) -> Closer:
    return Closer(f"closing_{secrets.token_hex(4)}", zone, "acme", "anna", KEY)


async def close(ledger: Ledger, month: str, zone: str = ZONE, names: Names = NAMES) -> ClosedMonth:
    by = closer(zone)
    while True:
        closed = await ledger.accounts.close(Month.parse(month), by, names)
        if closed is not None:
            return closed


async def lines(ledger: Ledger, month: str, zone: str = ZONE, names: Names = NAMES) -> list[Line]:
    found: list[Line] = []
    cursor: Cursor | None = Cursor()
    while cursor is not None:
        piece = await ledger.accounts.piece(Month.parse(month), cursor, zone, names)
        found += piece.lines
        cursor = piece.then
    return found


async def exported(ledger: Ledger, month: str, zone: str = ZONE, names: Names = NAMES) -> str:
    """The month as CSV, then as FOCUS."""
    head = await ledger.accounts.head(Month.parse(month), zone, "acme")
    columns, sink = Columns(head.labels, head.tags), io.StringIO(newline="")
    focus = Focus(Period(head.organization, head.timezone, head.span.start, head.span.end))
    sheet = Sheet(sink)
    sheet.row(columns.header)
    found = await lines(ledger, month, zone, names)
    for line in found:
        sheet.row(columns.cells(line))
    for line in found:
        sheet.row(focus.cells(line))
    return sink.getvalue()
