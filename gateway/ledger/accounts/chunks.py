"""Lines as they are kept for good: JSON lists, some thousand together, compressed, with their sums."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway.ledger.accounts.lines import Line, Totals, names_used
from gateway.ledger.accounts.live import Position, is_open

LEVEL = 6


def pack(closing_id: str, month: str, number: int, lines: Sequence[Line], last: Position) -> dict[str, Any]:
    """The row of ``month_chunks``; ``last`` is the request that the next chunk begins after."""
    body = zlib.compress(msgspec.json.encode(lines), LEVEL)
    totals = Totals().add(lines)
    labels, tags = names_used(lines)
    return {
        "closing_id": closing_id,
        "number": number,
        "month": month,
        "last_received_at": last.received_at,
        "last_request_id": last.request_id,
        "lines": totals.lines,
        "attempts": totals.attempts,
        "cost": totals.cost,
        "credits": totals.credits,
        "unknown": totals.unknown,
        "unknown_lines": totals.unknown_lines,
        "labels": json.dumps(sorted(labels)),
        "tags": json.dumps(sorted(tags)),
        "open": json.dumps([[line.attempt_id, line.unknown] for line in lines if is_open(line)]),
        "digest": digest_of(body),
        "body": body,
    }


def unpack(body: bytes) -> list[Line]:
    return [Line(*fields) for fields in msgspec.json.decode(zlib.decompress(body))]


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def digest_over(digests: Iterable[str]) -> str:
    """That of a whole month: over its chunks' digests, in order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
