"""The values that go into and come out of the ledger. Money is integer nano-dollars, time is UTC.

State of one attempt::

    dispatched ── settled | released | unknown;   unknown ── settled | released

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
    "End",
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
    """JSON object of the tags that the client gave and the project allows."""
    labels: str | None = None
    """JSON object: the project's labels as they were at admission."""
    external_key_id: str | None = None


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
    hold: str | None = None
    """What it holds, as text of the quota room; None where no limit applied."""
    epoch: int = 0
    """Which building of the counters the hold was taken from; 0: none. One older than the ledger's own is
    refused (gateway/ledger/epochs.py)."""
    admitted_at: datetime | None = None
    """By the clock of the store that holds; it decides the windows. None: ``dispatched_at``."""
    hold_amount: NanoDollars | None = None
    """The most it can cost; None: not known."""
    hold_tokens: int | None = None
    expected: NanoDollars | None = None
    """What it will probably cost; charged where the outcome stays unknown and the policy says so."""
    size: str | None = None
    """As it was sent, like ``quality``; a request's row has what was asked for."""
    quality: str | None = None
    lease_ends: datetime | None = None
    """Not kept: when its hold may be given back unless there is a row, by this process's clock. One that
    comes later is refused (gateway/ledger/lapsed.py); None: it may come whenever it likes."""


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
    sent: bool = True
    """False: the call was never sent (leave to dispatch was refused, or its first row failed). Then it does
    not count as a request, must be ``released``, and it is no error if its first row never came to be."""
    step: str | None = None
    """What followed a failure (``gateway.routing.decision.Step``), and ``because`` why."""
    because: str | None = None
    drill: bool = False
    """The caller asked for this failure; no provider was called."""


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
    size_requested: str | None = None
    """The sizes are those of the pictures that were delivered, in the words of ``x-imagegate-size``; None
    where none were."""
    size_sent: str | None = None
    size_received: str | None = None
    size_rule: str | None = None
    adjustments: str | None = None
    """JSON list of what else was changed."""


End = AttemptEnd | RequestEnd
"""What may still be written after the call: kept beside the database while that is away (arrears.py)."""

Entry = NewRequest | NewAttempt | End
"""What ``Ledger.record`` takes."""
