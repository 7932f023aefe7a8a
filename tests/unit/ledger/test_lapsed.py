"""A row that comes as late as its hold's lease ends is refused: the hold may have been given back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import Unavailable
from gateway.ledger.lapsed import MARGIN
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt
from tests.unit.ledger.entries import attempt, end, request, spent, stored_attempts


def intent(request_id: str, ordinal: int = 1, *, left: timedelta) -> NewAttempt:
    """One whose lease has so much time left."""
    return replace(attempt(request_id, ordinal), lease_ends=datetime.now(UTC) + left)


SOON, LATER = MARGIN - timedelta(seconds=1), MARGIN + timedelta(minutes=1)


@pytest.mark.parametrize("left", [SOON, timedelta(0), -timedelta(hours=1)])
async def test_it_leaves_no_row_and_says_that_nothing_was_sent(ledger: Ledger, left: timedelta) -> None:
    with pytest.raises(Unavailable) as refused:
        await ledger.record(request("late"), intent("late", left=LATER), intent("late", 2, left=left))
    assert (refused.value.status, refused.value.code) == (503, "hold_lost")
    assert (refused.value.retryable, refused.value.retry_after) == (True, 1)
    # Whoever is refused says so once more, as rows may have been written all the same.
    never = AttemptEnd("late/2", AttemptState.RELEASED, datetime.now(UTC), sent=False)
    await ledger.record(never)
    await ledger.record(request("now"), intent("now", left=LATER))
    await ledger.record(request("whenever"), attempt("whenever"))
    assert set(await stored_attempts(ledger)) == {"now/1", "whenever/1"}


async def test_it_takes_nobody_with_it_who_waits_for_the_same_commit(ledger: Ledger) -> None:
    await ledger.record(request("r"), attempt("r"))
    results = await asyncio.gather(
        ledger.record(request("a"), intent("a", left=LATER)),
        ledger.record(request("late"), intent("late", left=SOON)),
        ledger.record(end("r/1", cost=5)),
        return_exceptions=True,
    )
    assert (results[0], results[2]) == (None, None)
    assert getattr(results[1], "code", None) == "hold_lost"
    assert set(await stored_attempts(ledger)) == {"a/1", "r/1"}
    assert await spent(ledger) == 5
