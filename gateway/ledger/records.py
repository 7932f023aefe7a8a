"""The values that go into and come out of the ledger. Money is integer nano-dollars, time is UTC.

State of one attempt::

    dispatched ── settled | released | unknown;   unknown ── settled

A row in ``dispatched`` is durable before the upstream call is sent, so no charge can be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.images.amounts import NANO, Charge, NanoDollars, Usage

__all__ = [
    "NANO",
    "AttemptEnd",
    "AttemptState",
    "Charge",
    "Entry",
    "NanoDollars",
    "NewAttempt",
    "NewRequest",
    "RequestEnd",
    "Usage",
]


class AttemptState(StrEnum):
    DISPATCHED = "dispatched"
    SETTLED = "settled"
    RELEASED = "released"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewRequest:
    request_id: str
    received_at: datetime
    project_id: str
    key_id: str
    operation: str
    model: str
    """The name the client asked for."""
    n: int
    size: str | None
    quality: str | None
    output_format: str | None
    end_user: str | None
    client_request_id: str | None
    tags: str | None = None


@dataclass(frozen=True, slots=True)
class NewAttempt:
    attempt_id: str
    """``{request_id}/{ordinal}``, ordinal from 1."""
    request_id: str
    ordinal: int
    provider: str
    upstream_model: str
    dispatched_at: datetime
    price_version: str | None


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    attempt_id: str
    state: AttemptState
    ended_at: datetime
    http_status: int | None = None
    kind: str | None = None
    certainty: str | None = None
    error_code: str | None = None
    upstream_request_id: str | None = None
    usage: Usage | None = None
    charge: Charge | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True)
class RequestEnd:
    request_id: str
    ended_at: datetime
    status: int
    """The HTTP status the client was (or would have been) given."""
    error_code: str | None
    provider: str | None
    attempts: int
    images: int
    cost: NanoDollars | None
    """Sum over the attempts; None when any of them is unknown."""
    overhead_ms: int
    client_gone: bool = False


Entry = NewRequest | NewAttempt | AttemptEnd | RequestEnd
"""What ``Ledger.record`` takes."""
