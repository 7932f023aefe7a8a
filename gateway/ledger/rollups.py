"""Sums made ahead, so that a report over a million rows reads some thousand. They always equal the raw rows.

Time is cut into slots. Whatever changes a row marks the row's slot in the same transaction. A slot is read
from its rollup where it has no mark, and from the rows themselves where it has one. :func:`roll_up` makes the
sums of marked slots anew and removes the marks that it had seen *before* it summed, so that a change which
commits meanwhile leaves its own mark standing. Marks are only ever inserted and deleted: writers never wait
for each other over them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Row,
    Table,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)

from gateway.ledger import horizon
from gateway.ledger.prepared import Prepared
from gateway.ledger.tables import BigInt, rollup_marks

MOST_RAW_SPANS = 100
"""Pieces of raw rows that one reading asks for; beyond it all is read raw, in one piece."""

GRACE_MICROS = 300_000_000
"""A slot is rolled up this long after its end, when most of its calls have ended."""

SLOTS_TOGETHER = 48
"""Slots of one transaction: other writers wait for it."""

_ADVISORY_LOCK = 0x696D61676569  # beside those of migrate.py and epochs.py


@dataclass(frozen=True, slots=True)
class Rollup:
    """``rows(lo, hi)`` are the raw rows of [lo, hi) in microseconds, with ``moment``, ``dimensions`` and
    ``sums`` as columns; ``table`` keeps the same by slot of ``slot_micros``."""

    name: str
    table: Table
    slot_micros: int
    dimensions: tuple[str, ...]
    sums: tuple[str, ...]
    rows: Callable[[int, int], FromClause]


@dataclass(frozen=True, slots=True)
class Split:
    """How to read [lo, hi): slots [first, last) from the rollup but for marked ones from ``fixed`` on,
    ``raw`` from the rows."""

    first: int
    last: int
    raw: tuple[tuple[int, int], ...]
    fixed: int = 0


def read(
    connection: Connection,
    rollup: Rollup,
    lo: int,
    hi: int,
    *,
    start: int,
    length: int,
    by: Sequence[str] | None = None,
) -> list[Row[Any]]:
    """Sums of [lo, hi) by ``position`` (how many ``length`` after ``start``) and the dimensions ``by``. A
    group may come in several rows, to be added up. ``length`` and ``start`` must be whole slots from each
    other, or the rollup is passed over. Of the time whose rows were removed nothing but whole slots is read,
    each in the span that it ends in."""
    fits = not (start % rollup.slot_micros or (length % rollup.slot_micros and hi > start + length))
    split = _split(connection, rollup, lo, hi, fits=fits)
    by = rollup.dimensions if by is None else by
    found: list[Row[Any]] = []
    if split.first < split.last:
        slot = rollup.table.c.slot
        marked = select(rollup_marks.c.slot).where(rollup_marks.c.rollup == rollup.name)
        kept = (
            select(
                (slot * literal(rollup.slot_micros, BigInt)).label("moment"), *_columns(rollup.table, rollup)
            )
            .where(slot >= split.first, slot < split.last, or_(slot < split.fixed, slot.not_in(marked)))
            .subquery("kept")
        )
        found += connection.execute(_grouped(kept, rollup, start, length, by)).all()
    for begin, end in split.raw:
        found += connection.execute(_grouped(rollup.rows(begin, end), rollup, start, length, by)).all()
    return found


_MARK = Prepared(lambda database: rollup_marks.insert())


def mark(connection: Connection, slots: Iterable[tuple[Rollup, int]]) -> None:
    """Say that these slots' rows have changed in this transaction."""
    token = secrets.token_hex(8)
    rows = [{"rollup": rollup.name, "slot": slot, "mark_id": token} for rollup, slot in slots]
    if rows:
        _MARK.run(connection, sorted(rows, key=lambda row: (row["rollup"], row["slot"])))


def roll_up(connection: Connection, rollup: Rollup, now: int) -> bool:
    """Make some marked slots that ended before ``now`` (microseconds, less the grace) anew; True while there
    are more. On PostgreSQL one replica does it at a time, and the others have nothing to do."""
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_try_advisory_xact_lock(:key)")
        if not connection.scalar(lock, {"key": _ADVISORY_LOCK}):
            return False
    ripe = (now - GRACE_MICROS) // rollup.slot_micros
    marked = select(rollup_marks.c.slot).where(rollup_marks.c.rollup == rollup.name).distinct()
    query = marked.where(rollup_marks.c.slot < ripe).order_by(rollup_marks.c.slot).limit(SLOTS_TOGETHER)
    slots = connection.scalars(query).all()
    seen = _marks_of(connection, rollup, slots)
    # Older ones were marked by an end that came once more: their rows may be gone, and the sums are right.
    fixed = horizon.summed_before(connection) // rollup.slot_micros
    for first, last in _runs([slot for slot in slots if slot >= fixed]):
        _make(connection, rollup, first, last)
    _unmark(connection, rollup, slots, seen)
    for slot in connection.scalars(marked.where(rollup_marks.c.slot >= ripe)).all():
        # One mark says as much as a thousand.
        _unmark(connection, rollup, [slot], _marks_of(connection, rollup, [slot])[1:])
    return len(slots) == SLOTS_TOGETHER


def _runs(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending slots as [first, last) without gaps."""
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and runs[-1][1] == slot:
            runs[-1] = (runs[-1][0], slot + 1)
        else:
            runs.append((slot, slot + 1))
    return runs


def _make(connection: Connection, rollup: Rollup, first: int, last: int) -> None:
    table, micros = rollup.table, rollup.slot_micros
    connection.execute(delete(table).where(table.c.slot >= first, table.c.slot < last))
    rows = rollup.rows(first * micros, last * micros)
    sums = _grouped(rows, rollup, 0, micros, rollup.dimensions).subquery("sums")
    names = ["slot", *rollup.dimensions, *rollup.sums]
    connection.execute(insert(table).from_select(names, select(sums.c.position, *_columns(sums, rollup))))


def _marks_of(connection: Connection, rollup: Rollup, slots: Sequence[int]) -> Sequence[str]:
    query = select(rollup_marks.c.mark_id).where(
        rollup_marks.c.rollup == rollup.name, rollup_marks.c.slot.in_(slots)
    )
    return connection.scalars(query.distinct()).all()


def _unmark(connection: Connection, rollup: Rollup, slots: Sequence[int], seen: Sequence[str]) -> None:
    # A mark that was seen in one slot was seen in all: its transaction had committed.
    for part in chunks(seen):
        connection.execute(
            delete(rollup_marks).where(
                rollup_marks.c.rollup == rollup.name,
                rollup_marks.c.slot.in_(slots),
                rollup_marks.c.mark_id.in_(part),
            )
        )


def chunks(ids: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    """Parts that a statement's list of values can hold."""
    return (ids[first : first + size] for first in range(0, len(ids), size))


def _columns(source: FromClause, rollup: Rollup) -> list[Any]:
    return [source.c[name] for name in (*rollup.dimensions, *rollup.sums)]


def _grouped(source: FromClause, rollup: Rollup, start: int, length: int, by: Sequence[str]) -> Any:
    placed = select(
        ((source.c.moment - literal(start, BigInt)) // literal(length, BigInt)).label("position"),
        *_columns(source, rollup),
    ).subquery("placed")
    keys = [placed.c.position, *(placed.c[name] for name in by)]
    sums = [cast(func.sum(placed.c[name]), BigInt).label(name) for name in rollup.sums]
    return select(*keys, *sums).group_by(*keys)


def _split(connection: Connection, rollup: Rollup, lo: int, hi: int, *, fits: bool = True) -> Split:
    size = rollup.slot_micros
    summed = horizon.summed_before(connection)
    if lo >= summed:
        return _of_rows(connection, rollup, lo, hi, fits=fits)
    # A span that begins within a slot has all of it: what limits count is never less than what was spent.
    first = lo // size
    if hi <= summed:
        return Split(first, hi // size, (), summed // size)
    rest = _of_rows(connection, rollup, summed, hi, fits=fits)
    return Split(first, max(rest.last, summed // size), rest.raw, summed // size)


def _of_rows(connection: Connection, rollup: Rollup, lo: int, hi: int, *, fits: bool) -> Split:
    """Where all rows are there."""
    size = rollup.slot_micros
    first, last = -(-lo // size), hi // size
    if first >= last or not fits:
        return Split(0, 0, ((lo, hi),) if lo < hi else ())
    marked = (
        select(rollup_marks.c.slot)
        .where(rollup_marks.c.rollup == rollup.name, rollup_marks.c.slot >= first, rollup_marks.c.slot < last)
        .distinct()
        .order_by(rollup_marks.c.slot)
    )
    pieces = [(lo, first * size)]
    pieces += [(slot * size, (slot + 1) * size) for slot in connection.scalars(marked)]
    pieces.append((last * size, hi))
    raw: list[tuple[int, int]] = []
    for begin, end in pieces:
        if begin == end:
            continue
        if raw and raw[-1][1] == begin:
            raw[-1] = (raw[-1][0], end)
        else:
            raw.append((begin, end))
    if len(raw) > MOST_RAW_SPANS:
        return Split(0, 0, ((lo, hi),))
    return Split(first, last, tuple(raw))
