"""Calls that a process could not see to their end, in a ledger and a store of limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gateway.engine.abandoned import abandon
from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, RequestEnd
from gateway.quota.holds import Hold, State
from gateway.quota.keeper import Keeper
from gateway.quota.store import QuotaStore


class _Books:
    """A keeper, a ledger and a store that keep what they are told, in order."""

    def __init__(self, *rids: str, away: bool = False) -> None:
        self.watched = [Hold(rid, 0, 45_000, ()) for rid in rids]
        self.told: list[Any] = []
        self._away = away

    async def record(self, *entries: AttemptEnd) -> None:
        if self._away:
            raise Unavailable("away")
        self.told.append(entries)

    async def end(self, ends: Any) -> None:
        self.told.append(ends)


async def _abandon(books: _Books, *requests: RequestEnd) -> int:
    return await abandon(cast(Keeper, books), cast(Ledger, books), cast(QuotaStore, books), requests)


async def test_each_is_unknown_in_the_ledger_before_the_store_hears_of_it() -> None:
    books = _Books("req_1/1", "req_2/1")
    assert await _abandon(books) == 2
    entries, ends = books.told
    assert [(each.attempt_id, each.state, each.error_code) for each in entries] == [
        ("req_1/1", AttemptState.UNKNOWN, "killed_in_flight"),
        ("req_2/1", AttemptState.UNKNOWN, "killed_in_flight"),
    ]
    assert [(each.hold.rid, each.state) for each in ends] == [
        ("req_1/1", State.UNKNOWN),
        ("req_2/1", State.UNKNOWN),
    ]


async def test_requests_get_their_last_row_in_the_same_step_and_without_calls_too() -> None:
    end = RequestEnd("req_1", datetime.now(UTC), 504, "killed_in_flight", "p", 1, 0, None, 3)
    books = _Books("req_1/1")
    assert await _abandon(books, end) == 1
    entries, _ = books.told
    assert entries[1:] == (end,)
    finishing = _Books()
    assert await _abandon(finishing, end) == 0
    assert finishing.told == [(end,)]


@pytest.mark.parametrize(("rids", "away"), [((), False), (("req_1/1",), True)])
async def test_the_store_is_told_nothing_that_the_ledger_has_not(rids: tuple[str, ...], away: bool) -> None:
    """Its lease runs out instead."""
    books = _Books(*rids, away=away)
    assert await _abandon(books) == len(rids)
    assert books.told == []
