"""Marks that exactly one caller sets, whatever becomes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger

T = TypeVar("T")


async def test_a_mark_whose_answer_was_lost_is_still_its_callers(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an alert would be told by nobody: its threshold is marked, and no caller was the first."""
    inner = ledger._store.write

    async def lost(work: Callable[[Connection], T]) -> T:
        await inner(work)
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(ledger._store, "write", lost)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await ledger.notes.first("alert")
    assert await ledger.notes.first("alert")
    assert not await ledger.notes.first("alert")


async def test_a_mark_that_another_has_set_meanwhile_is_not_ones_own(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(work: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(ledger._store, "write", away)
        with pytest.raises(Unavailable):
            await ledger.notes.first("alert")
    await ledger.notes.put("alert", "another's")
    assert not await ledger.notes.first("alert")
