"""Who may claim an orphan, and for how long; and that nobody else asks the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.fingerprint import Fingerprint
from gateway.engine.orphans import Orphans
from gateway.images.call import ImageCall
from gateway.ledger.ledger import Ledger
from gateway.ledger.results import Result
from providers.base import Operation

KEY, ROUTE = "key_1", "generations"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open("sqlite:///data/imagegate.db", tmp_path)
    yield opened
    await opened.close()


def print_of(prompt: str = "a red kite") -> Fingerprint:
    return Fingerprint(ImageCall(Operation.GENERATE, "m", prompt))


async def left(ledger: Ledger, ago: timedelta, request_id: str = "o") -> None:
    now, digest = datetime.now(UTC), await print_of().digest()
    row = Result(request_id, "p", KEY, ROUTE, digest, now, now + timedelta(minutes=9), left_at=now - ago)
    await ledger.results.leave(row)


async def claimed(orphans: Orphans, *, marked: bool, prompt: str = "a red kite", key: str = KEY) -> bool:
    found = await orphans.claim(key, ROUTE, print_of(prompt), by="c", marked=marked)
    return found is not None


@pytest.mark.parametrize(
    ("ago", "marked", "may"),
    [
        (timedelta(seconds=1), False, True),
        (timedelta(seconds=118), False, True),
        (timedelta(seconds=122), False, False),
        (timedelta(seconds=122), True, True),
        (timedelta(seconds=598), True, True),
        (timedelta(seconds=602), True, False),
    ],
)
async def test_a_word_of_being_a_retry_counts_for_ten_minutes_and_its_absence_for_two(
    ledger: Ledger, ago: timedelta, marked: bool, may: bool
) -> None:
    orphans = Orphans(ledger.results)
    await left(ledger, ago)
    await orphans.look()
    assert await claimed(orphans, marked=marked) is may
    assert await claimed(orphans, marked=marked) is False, "it is had once"


async def test_calls_that_say_nothing_ask_nobody_unless_there_is_an_orphan_of_theirs(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    inner = ledger.results.claim

    async def counted(key_id: str, *more: Any, **others: Any) -> Result | None:
        asked.append(key_id)
        return await inner(key_id, *more, **others)

    monkeypatch.setattr(ledger.results, "claim", counted)
    orphans = Orphans(ledger.results)
    assert not await claimed(orphans, marked=False)
    await left(ledger, timedelta())
    await orphans.look()
    assert not await claimed(orphans, marked=False, prompt="a blue kite")
    assert not await claimed(orphans, marked=False, key="key_2")
    assert asked == []
    assert await claimed(orphans, marked=False)
    assert not await claimed(orphans, marked=False)
    assert not await claimed(orphans, marked=False)
    assert asked == [KEY, KEY], "what is gone is asked for once more, and no more"


async def test_an_orphan_that_is_written_while_others_are_looked_for_stays_known(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans, inner = Orphans(ledger.results), ledger.results.orphans

    async def slowly(since: datetime) -> Any:
        found = await inner(since)
        await left(ledger, timedelta())
        row = await ledger.results.get("o")
        assert row is not None
        orphans.add_again(row)
        return found

    monkeypatch.setattr(ledger.results, "orphans", slowly)
    await orphans.look()
    assert await claimed(orphans, marked=False)
