"""One account's keys and the line before it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from config.accounts.sandbox import SandboxProvider
from gateway.engine.upstreams import Lines, Places, Upstream
from providers.base import Certainty, Kind, ProviderError

FIRST: Any = "first"
SECOND: Any = "second"


def refused(kind: Kind, retry_after: float | None = None) -> ProviderError:
    return ProviderError(kind, Certainty.REJECTED, "no", retry_after=retry_after)


async def used(upstream: Upstream, error: ProviderError | None = None) -> Any:
    """One call; the key that it was made with."""
    found = None
    with suppress(ProviderError):
        async with upstream.call(None, 1.0) as key:
            found = key
            if error is not None:
                raise error
    return found


async def test_keys_are_used_in_turn() -> None:
    upstream = Upstream("up", [FIRST, SECOND])
    assert [await used(upstream) for _ in range(4)] == [FIRST, SECOND, FIRST, SECOND]


@pytest.mark.parametrize("error", [refused(Kind.AUTH), refused(Kind.THROTTLED, 30.0)])
async def test_a_key_that_is_refused_or_limited_rests_while_another_is_there(error: ProviderError) -> None:
    upstream = Upstream("up", [FIRST, SECOND])
    assert await used(upstream, error) == FIRST
    assert upstream.has_other_key(error.kind)
    assert [await used(upstream) for _ in range(3)] == [SECOND] * 3
    await used(upstream, error)
    assert not upstream.has_other_key(error.kind)


async def test_one_key_has_no_other_and_other_failures_are_no_keys_fault() -> None:
    alone = Upstream("up", [FIRST])
    await used(alone, refused(Kind.AUTH))
    assert not alone.has_other_key(Kind.AUTH)
    assert await used(alone) == FIRST
    assert not Upstream("up", [FIRST, SECOND]).has_other_key(Kind.SERVER)


async def test_a_throttled_account_gets_fewer_calls_at_once() -> None:
    upstream = Upstream("up", [FIRST], Places(4))
    await used(upstream, refused(Kind.THROTTLED))
    assert upstream.line.cap.now == 1
    for _ in range(10):
        await used(upstream)
    assert upstream.line.cap.now == 2


async def test_who_waits_is_turned_away_when_the_process_ends() -> None:
    lines = Lines()
    lines.reconfigured({"up": account(max_in_flight=1)})
    upstream = Upstream("up", [FIRST], lines.before("up"))
    async with upstream.call(None, 1.0):
        waiting = asyncio.create_task(_wait(upstream))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert upstream.line.waiting == 1
        lines.turn_away()
        error = await waiting
    assert (error.kind, error.certainty) == (Kind.OVERLOADED, Certainty.NOT_SENT)
    assert await used(upstream) == FIRST


async def test_a_full_line_is_told_at_once_and_nothing_was_sent() -> None:
    upstream = Upstream("up", [FIRST], Places(1, 0))
    async with upstream.call(None, 60.0):
        error = await asyncio.wait_for(_wait(upstream), 20)
    assert (error.kind, error.certainty) == (Kind.OVERLOADED, Certainty.NOT_SENT)


async def test_an_account_with_other_settings_has_the_same_line_before_it() -> None:
    """What was sent with the old ones counts; more room calls up who waits."""
    lines = Lines()
    lines.reconfigured({"up": account(max_in_flight=1)})
    before, after = (Upstream("up", [key], lines.before("up")) for key in (FIRST, SECOND))
    async with before.call(None, 1.0):
        waiting = asyncio.create_task(used(after))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (after.line.in_flight, after.line.waiting) == (1, 1)
        lines.reconfigured({"up": account(max_in_flight=2)})
        assert await waiting == SECOND
    lines.turn_away()
    assert lines.before("new").line is lines.before("new").line


async def test_what_was_learnt_of_an_account_outlasts_its_settings() -> None:
    lines = Lines()
    lines.reconfigured({"up": account(max_in_flight=4)})
    upstream = Upstream("up", [FIRST], lines.before("up"))
    await used(upstream, refused(Kind.THROTTLED))
    lines.reconfigured({"up": account(max_in_flight=3)})
    assert upstream.line.cap.now == 1
    lines.reconfigured({"up": account(max_in_flight=1)})
    for _ in range(30):
        await used(upstream)
    assert upstream.line.cap.now == 1


def account(**settings: int) -> SandboxProvider:
    return SandboxProvider(type="sandbox", **settings)


async def _wait(upstream: Upstream) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        async with upstream.call(None, 60.0):
            pass
    return caught.value
