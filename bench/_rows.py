"""Ledgers full of rows, made the short way: what the gateway would have written in a month, in seconds."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway.ledger.entries import end_user_digest
from gateway.ledger.ledger import Ledger
from gateway.ledger.rollups import mark
from gateway.ledger.tables import attempts, requests, to_micros
from gateway.ledger.touched import ROLLUPS
from tests import servers

PROJECTS, KEYS, MODELS, END_USERS = 10, 5, 4, 200
TOGETHER = 10_000


def options(about: str | None, rows: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own, not on SQLite")
    return parser.parse_args()


@asynccontextmanager
async def filled(rows: int, postgres: bool, since: datetime, until: datetime) -> AsyncIterator[Ledger]:
    """A ledger with ``rows`` requests of one attempt each over [since, until); one in 500 is unknown."""
    with tempfile.TemporaryDirectory() as folder, _server(postgres) as url:
        ledger = await Ledger.open(url, Path(folder))
        try:
            dice = random.Random(1)
            step = (until - since) / rows
            for first in range(0, rows, TOGETHER):
                moments = [since + step * number for number in range(first, min(first + TOGETHER, rows))]
                await ledger._store.write(
                    lambda c, moments=moments, first=first: _fill(c, first, moments, dice)
                )
            yield ledger
        finally:
            await ledger.close()


def _server(postgres: bool) -> AbstractContextManager[str]:
    return servers.postgres() if postgres else nullcontext("sqlite:///imagegate.db")


def _fill(connection: Connection, first: int, moments: list[datetime], dice: random.Random) -> None:
    pairs = list(_pairs(first, moments, dice))
    connection.execute(requests.insert(), [request for request, _ in pairs])
    connection.execute(attempts.insert(), [attempt for _, attempt in pairs])
    mark(
        connection,
        {(rollup, to_micros(moment) // rollup.slot_micros) for rollup in ROLLUPS for moment in moments},
    )


def _pairs(
    first: int, moments: list[datetime], dice: random.Random
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for number, moment in enumerate(moments, first):
        request_id = f"req_{number:032x}"
        project, user = dice.randrange(PROJECTS), f"user-{dice.randrange(END_USERS)}"
        unknown = number % 500 == 0
        facts = {
            "request_id": request_id,
            "received_at": moment,
            "project_id": f"proj_{project}",
            "key_id": f"key_{project}_{dice.randrange(KEYS)}",
            "model": f"model-{dice.randrange(MODELS)}",
            "end_user_digest": end_user_digest(user),
        }
        ended = moment + timedelta(seconds=60)
        request = {
            **facts,
            "operation": "generations",
            "n": 1,
            "end_user": user,
            "ended_at": ended,
            "status": 200,
            "provider": "openai",
            "attempts": 1,
            "images": 1,
            "cost": 210_775_000,
            "overhead_ms": 2,
        }
        attempt = {
            **facts,
            "attempt_id": f"{request_id}/1",
            "ordinal": 1,
            "provider": "openai",
            "upstream_model": "gpt-image-2",
            "dispatched_at": moment,
            "admitted_at": moment,
            "epoch": 1,
            "hold": _HOLD % (request_id, int(moment.timestamp() * 1000)) if unknown else None,
            "hold_amount": 250_000_000,
            "expected": 210_775_000,
            "counted_requests": 1,
            "counted_images": 1,
            "state": "unknown" if unknown else "settled",
            "ended_at": ended,
            "input_tokens": 11,
            "output_tokens": 7024,
            "total_tokens": 7035,
            "cost": None if unknown else 210_000_000 + dice.randrange(10**6),
        }
        yield request, attempt


_HOLD = '["%s/1",%d,45000,1,[["org|spend|month","w","spend",250000000,"month:2026-11@UTC",0,-1]]]'
