"""Short ways to make ledger entries, and to look at what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from gateway.ledger.ledger import Ledger
from gateway.ledger.records import (
    AttemptEnd,
    AttemptState,
    Charge,
    NanoDollars,
    NewAttempt,
    NewRequest,
    RequestEnd,
    Usage,
)
from gateway.ledger.tables import attempts, requests

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def request(request_id: str, **changes: Any) -> NewRequest:
    fields: dict[str, Any] = {
        "received_at": NOON,
        "project_id": "proj_growth",
        "key_id": "key_1",
        "operation": "generations",
        "model": "gpt-image-2",
        "n": 1,
        "size": "1024x1024",
        "quality": "high",
        "output_format": None,
        "end_user": None,
        "client_request_id": None,
    }
    return NewRequest(request_id=request_id, **(fields | changes))


def attempt(request_id: str, ordinal: int = 1) -> NewAttempt:
    return NewAttempt(
        attempt_id=f"{request_id}/{ordinal}",
        request_id=request_id,
        ordinal=ordinal,
        provider="openai",
        upstream_model="gpt-image-2",
        dispatched_at=NOON,
        price_version="2026-04-21",
    )


def end(
    attempt_id: str,
    state: AttemptState = AttemptState.SETTLED,
    cost: int | None = 210_775_000,
    **changes: Any,
) -> AttemptEnd:
    fields: dict[str, Any] = {
        "ended_at": NOON,
        "http_status": 200,
        "usage": Usage(input_tokens=11, input_text_tokens=11, output_tokens=7024, total_tokens=7035),
        "charge": Charge(None if cost is None else NanoDollars(cost), (), "2026-04-21"),
        "images": 1,
    }
    return AttemptEnd(attempt_id, state, **(fields | changes))


def request_end(
    request_id: str, status: int = 200, cost: int | None = 210_775_000, images: int = 1
) -> RequestEnd:
    return RequestEnd(
        request_id=request_id,
        ended_at=NOON,
        status=status,
        error_code=None if status < 400 else "upstream_error",
        provider="openai",
        attempts=1,
        images=images,
        cost=None if cost is None else NanoDollars(cost),
        overhead_ms=2,
    )


async def stored_attempts(ledger: Ledger) -> dict[str, Any]:
    """Attempt id → row, as the database has it."""
    rows = await ledger._store.read(lambda connection: connection.execute(select(attempts)).all())
    return {row.attempt_id: row for row in rows}


async def stored_requests(ledger: Ledger) -> dict[str, Any]:
    rows = await ledger._store.read(lambda connection: connection.execute(select(requests)).all())
    return {row.request_id: row for row in rows}


async def spent(ledger: Ledger) -> int:
    """What is settled, in nano-dollars, added up from the rows."""
    rows = (await stored_attempts(ledger)).values()
    return sum(row.cost or 0 for row in rows if row.state == AttemptState.SETTLED)
