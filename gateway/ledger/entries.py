"""From the values that ``Ledger.record`` takes to rows and statements.

Every statement can be repeated: a row is inserted once, an end is written where none stands. So a batch whose
outcome is unclear (a connection lost during COMMIT) may simply be sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Integer, Table, Text, Update, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.images.pricing import MOST_TOKENS
from gateway.ledger import touched
from gateway.ledger.epochs import refuse_superseded
from gateway.ledger.lapsed import LEASE_ENDS, refuse_lapsed
from gateway.ledger.prepared import Prepared
from gateway.ledger.records import AttemptEnd, AttemptState, Entry, NewAttempt, NewRequest, RequestEnd, Usage
from gateway.ledger.tables import attempts, requests

LONGEST_TEXT = 1024
"""Characters kept of a text that a client or a provider chose."""

_OURS = ("request_id", "attempt_id", "tags", "labels", "hold", "adjustments")
"""Texts that we made ourselves: ids, and JSON that must stay whole."""

Row = dict[str, Any]


_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind)) for kind in (NewRequest, NewAttempt, RequestEnd, Usage)
}


class NoSuchRow(LookupError):
    """An end for a request or an attempt that was never recorded."""


def to_row(entry: Entry) -> Row:
    """The row of one entry. Raises ValueError for what the ledger cannot mean, e.g. a naive datetime, an
    attempt that ends as ``dispatched``, a released attempt that costs something."""
    if isinstance(entry, AttemptEnd):
        return _attempt_end(entry)
    if isinstance(entry, RequestEnd):
        row = _clean(_values(entry))
        row["client_gone"] = int(entry.client_gone)
        row["_request_id"] = row.pop("request_id")
        _not_negative(entry.cost)
        return row
    row = _clean(_values(entry))
    if isinstance(entry, NewAttempt):
        row["_request_id"] = entry.request_id
        row["admitted_at"] = entry.admitted_at or entry.dispatched_at
        row[LEASE_ENDS] = row.pop("lease_ends")
        row["counted_requests"] = row["_first"] = int(entry.ordinal == 1)
    else:
        row["end_user_digest"] = None if entry.end_user is None else end_user_digest(entry.end_user)
    return row


def end_user_digest(end_user: str) -> str:
    """The name of an end user's counters: that of ``gateway.quota.terms.Scope.end_user``, of the client's
    word as it came, however long."""
    return hashlib.blake2b(end_user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _values(value: NewRequest | NewAttempt | RequestEnd | Usage) -> Row:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


def _attempt_end(entry: AttemptEnd) -> Row:
    charge = entry.charge
    cost = None if charge is None else charge.cost
    _not_negative(cost)
    if entry.state is AttemptState.DISPATCHED:
        raise ValueError("an attempt cannot end as dispatched")
    if entry.state is AttemptState.RELEASED and cost:
        raise ValueError("a released attempt costs nothing; settle one that was charged")
    if not entry.sent and entry.state is not AttemptState.RELEASED:
        raise ValueError("an attempt that was never sent is released")
    row = _clean(
        {
            "ended_at": entry.ended_at,
            "http_status": entry.http_status,
            "kind": entry.kind,
            "certainty": entry.certainty,
            "error_code": entry.error_code,
            "upstream_request_id": entry.upstream_request_id,
            "flags": ",".join(charge.flags) if charge and charge.flags else None,
            "_step": entry.step,
            "_because": entry.because,
        }
    )
    usage = _values(entry.usage or Usage())
    row.update(
        {name: count if count is None or count <= MOST_TOKENS else None for name, count in usage.items()}
    )
    row["_attempt_id"] = entry.attempt_id
    row["_state"] = str(entry.state)
    row["_price_version"] = charge.price_version if charge else None
    row["_sent"] = int(entry.sent)
    row["drill"] = int(entry.drill)
    row["images"] = entry.images
    row["cost"] = cost
    row["cost_catalogue"] = charge.catalogue if charge else None
    row["cost_reported"] = charge.reported if charge else None
    return row


def _not_negative(cost: int | None) -> None:
    if cost is not None and cost < 0:
        raise ValueError("a cost cannot be negative")


def _clean(row: Row) -> Row:
    """Texts that any database can hold. Some are a client's own words: a NUL or half a surrogate pair in an
    end user's name must not keep a charge out of the ledger."""
    for name, value in row.items():
        if isinstance(value, str):
            if name not in _OURS:
                text = value.replace("\0", "\ufffd")[:LONGEST_TEXT]
                row[name] = text.encode("utf-8", "replace").decode("utf-8")
        elif isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{name} needs a time zone")
    return row


def apply(connection: Connection, batch: Sequence[tuple[type[Entry], Row]]) -> None:
    """Write a batch with one statement a kind, beginnings before ends; within a kind, order is kept.

    Raises :class:`NoSuchRow` for an end without its beginning, :class:`gateway.ledger.epochs.Superseded`,
    :class:`gateway.ledger.lapsed.Lapsed`, and what the database raises.
    """
    rows: dict[type[Entry], list[Row]] = {}
    for kind, row in batch:
        rows.setdefault(kind, []).append(row)
    refuse_superseded(connection, rows.get(NewAttempt, ()))
    refuse_lapsed(rows.get(NewAttempt, ()), datetime.now(UTC))
    for kind, statement in ((NewRequest, _INSERT_REQUEST), (NewAttempt, _INSERT_ATTEMPT)):
        if kind in rows:
            statement.run(connection, rows[kind])
    for kind, statement, table in (
        (AttemptEnd, _END_ATTEMPT, attempts),
        (RequestEnd, _END_REQUEST, requests),
    ):
        if kind in rows:
            done = statement.run(connection, rows[kind])
            if done.rowcount != len(rows[kind]):
                _check_present(connection, table, rows[kind])
    new = {row["request_id"]: row["received_at"] for row in rows.get(NewRequest, ())}
    touched.by_batch(
        connection,
        received=list(new.values()),
        begun=[row["attempt_id"] for row in rows.get(NewAttempt, ()) if row["_request_id"] not in new],
        ended=[row["_attempt_id"] for row in rows.get(AttemptEnd, ())],
        requests_ended=[row["_request_id"] for row in rows.get(RequestEnd, ())],
    )


def _check_present(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """A repeated end changes no row; an end of nothing changes none either, and that one is an error."""
    (column,) = table.primary_key.columns
    wanted = {row[f"_{column.name}"] for row in rows if row.get("_sent", 1)}
    missing = wanted - set(connection.scalars(select(column).where(column.in_(wanted))))
    if missing:
        raise NoSuchRow(f"never recorded: {', '.join(sorted(missing))}")


def _of_request(name: str) -> Any:
    """A column of the attempt's request. NULL, and so refused, where the request was never recorded."""
    return select(requests.c[name]).where(requests.c.request_id == bindparam("_request_id")).scalar_subquery()


_INSERTS: Mapping[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _insert_request(database: str) -> Any:
    return _INSERTS[database](requests).on_conflict_do_nothing(index_elements=["request_id"])


def _insert_attempt(database: str) -> Any:
    copied = ("received_at", "project_id", "key_id", "model", "end_user_digest")
    values = {name: _of_request(name) for name in copied}
    values["counted_images"] = _of_request("n") * bindparam("_first", type_=Integer)
    insert = _INSERTS[database](attempts).values(**values, state=str(AttemptState.DISPATCHED))
    return insert.on_conflict_do_nothing(index_elements=["attempt_id"])


def _end_attempt(database: str) -> Update:
    """dispatched → any end; unknown → settled or released, when a late answer, a reconciliation or the policy
    says what it cost. Settled and released are final."""
    state = attempts.c.state
    may_end = or_(
        state == AttemptState.DISPATCHED,
        and_(state == AttemptState.UNKNOWN, bindparam("_state", type_=Text) != AttemptState.UNKNOWN),
    )
    names = [
        "ended_at",
        "http_status",
        "kind",
        "certainty",
        "error_code",
        "upstream_request_id",
        "cost",
        "cost_catalogue",
        "cost_reported",
        "flags",
        "drill",
    ]
    names += ["images", *_NAMES[Usage]]
    return (
        update(attempts)
        .where(attempts.c.attempt_id == bindparam("_attempt_id"), may_end)
        .values(
            {name: bindparam(name) for name in names}
            | {
                "state": bindparam("_state"),
                "counted_requests": attempts.c.counted_requests * bindparam("_sent", type_=Integer),
                "counted_images": attempts.c.counted_images * bindparam("_sent", type_=Integer),
                "price_version": func.coalesce(
                    bindparam("_price_version", type_=Text), attempts.c.price_version
                ),
                # An answer that came late is a better end, and what followed has happened all the same.
                "step": func.coalesce(bindparam("_step", type_=Text), attempts.c.step),
                "because": func.coalesce(bindparam("_because", type_=Text), attempts.c.because),
            }
        )
    )


def _end_request(database: str) -> Update:
    names = [name for name in _NAMES[RequestEnd] if name != "request_id"]
    return (
        update(requests)
        .where(requests.c.request_id == bindparam("_request_id"), requests.c.ended_at.is_(None))
        .values({name: bindparam(name) for name in names})
    )


_INSERT_REQUEST, _INSERT_ATTEMPT = Prepared(_insert_request), Prepared(_insert_attempt)
_END_ATTEMPT, _END_REQUEST = Prepared(_end_attempt), Prepared(_end_request)
