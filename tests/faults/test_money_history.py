"""What went wrong elsewhere: each symptom that was reported of LiteLLM's budgets, as a case that must not
happen here. The numbers are those of github.com/BerriAI/litellm."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from gateway.quota.local import LocalQuotaStore
from gateway.quota.outcomes import Admitted, Epoch, Reservation
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar
from tests.contract.gateway_here import Here
from tests.faults.budgeted import DAY, HIGH, billed, budgeted, high, locked, refused, standing, until_standing
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.soak.stores import Redis

NOTHING = (0.0, 0.0, 0.0)
_BODY = {"model": "gpt-image-2", "prompt": "x", "size": "1024x1024", "quality": "low"}


def say(redis: Redis, *words: str) -> bytes:
    """One command on a connection of its own."""
    with socket.create_connection(("127.0.0.1", redis.port), 2) as link:
        link.sendall((" ".join(words) + "\r\n").encode())
        return link.recv(4096)


async def test_34732_40095_26672_parallel_calls_do_not_pass_the_same_check(
    upstream: Upstream, tmp_path: Path
) -> None:
    """5 calls on a key that can pay for 2, as in the report of $0.60 spent on $0.45; the end user is one that
    was never seen before."""
    upstream.default = on.ok(delay=0.4)
    limits = {"end_user_limits": [{"spend_usd": 0.45, "per": "day"}]}
    async with budgeted(upstream, tmp_path, project=limits) as here:
        answers = await asyncio.gather(*(high(here, user="somebody new") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        assert billed(upstream) <= 0.45


@pytest.mark.parametrize(
    "behaviour",
    [
        on.error("rate_limit"), on.error("invalid_key"), on.error("server_error"), on.error("moderation"),
        on.error("overloaded"), on.reset("before_headers"), on.close("before_headers"), on.html(502),
        on.cut(500, bytes=50_000), on.broken_json(), on.not_a_picture(), on.empty_data(), on.nothing(),
        on.ok(usage="none"),
    ],
    ids=lambda behaviour: behaviour.payload if behaviour.end == "whole" else behaviour.end,
)  # fmt: skip
async def test_27639_29493_no_failure_leaks_a_hold(
    upstream: Upstream, tmp_path: Path, behaviour: on.Behaviour
) -> None:
    """What may have been paid counts as unknown, visibly; nothing stays held."""
    upstream.plan(behaviour)
    async with budgeted(upstream, tmp_path, DAY, routing={"max_attempts": 1}) as here:
        await high(here)
        (row,) = await here.rows("attempts")
        used, held, unknown = await standing(here)
        assert held == 0
        assert used == (row["cost"] / 1e9 if row["state"] == "settled" else 0)
        assert unknown == (HIGH / 1e9 if row["state"] == "unknown" else 0)


@pytest.mark.parametrize("when", ["before_the_first_event", "in_the_middle"])
async def test_30522_a_stream_whose_client_leaves_leaks_no_hold(
    one: Here, upstream: Upstream, when: str
) -> None:
    upstream.plan(on.ok(event_delay=0.2, partials=2))
    body = {**_BODY, "quality": "high", "stream": True, "partial_images": 2}

    async def watch() -> None:
        async with one.client.stream("POST", "/v1/images/generations", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("event:") and when == "in_the_middle":
                    return

    watching = asyncio.create_task(watch())
    await upstream.wait_for(1)
    if when == "before_the_first_event":
        watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await until_standing(one, billed(upstream))
    (row,) = await one.rows("attempts")
    assert row["state"] == "settled"


async def test_30460_a_redis_that_times_out_and_is_asked_again_counts_once(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        assert redis.process is not None
        for _ in range(2):
            redis.process.send_signal(signal.SIGSTOP)
            call = asyncio.create_task(high(here))
            await asyncio.sleep(0.35)  # past the first 250 ms: the client is asking again
            redis.process.send_signal(signal.SIGCONT)
            await call
        await here.rows("attempts")
        await until_standing(here, billed(upstream))


async def test_40050_27735_what_is_enforced_is_what_is_recorded_at_every_level(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    """$111 enforced against $55 recorded: here both are the same nano-dollars, failures and all."""
    levels = {"organization": [DAY | {"spend_usd": 9}], "quota": redis.url}
    project = {"end_user_limits": [{"spend_usd": 5, "per": "day"}]}
    async with budgeted(upstream, tmp_path, DAY | {"spend_usd": 7}, project=project, **levels) as here:
        upstream.plan(
            on.ok(), on.error("server_error"), on.cut(500, bytes=50_000), on.ok(count=1), on.ok(usage="none"),
            on.empty_data(), on.ok(),
        )  # fmt: skip
        await asyncio.gather(*(high(here, n=2, user="one") for _ in range(7)))
        rows = await here.rows("attempts")
        settled = sum(row["cost"] for row in rows if row["state"] == "settled") / 1e9
        unknown = sum(row["hold_amount"] for row in rows if row["state"] == "unknown") / 1e9
        answer = await here.client.get("/v1/usage", params={"end_user": "one"})
        limits = answer.json()["limits"]
        assert [limit["scope"] for limit in limits] == ["organization", "project", "end_user"]
        for limit in limits:
            assert float(limit["used"]) == pytest.approx(settled, abs=1e-12)
            assert limit["held"] == "0"
            assert float(limit["unknown"]) == pytest.approx(unknown, abs=1e-12)


async def test_30684_a_counter_that_is_lost_does_not_open_the_budget(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    """Redis comes back empty: every call is refused until the counters are those of the ledger again."""
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        for _ in range(4):
            assert (await high(here)).status_code == 200
        await here.rows("attempts")
        await redis.crash(0.1, wipe=True)
        until = asyncio.get_running_loop().time() + 12
        while (answer := await high(here)).status_code == 503:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.1)
        refused(answer, 429, "project_spend_limit_exceeded", again=False)
        assert len(upstream.images) == 4


async def test_33923_34429_a_redis_that_reads_and_does_not_write_is_away(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    """Failing closed covers the writing of the reservation too."""
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        assert (await here.generate()).status_code == 200
        assert say(redis, "CONFIG", "SET", "maxmemory", "1") == b"+OK\r\n"
        refused(await here.generate(), 503, "budget_store_unavailable", again=True)
        assert len(upstream.images) == 1
        assert say(redis, "CONFIG", "SET", "maxmemory", "0") == b"+OK\r\n"
        assert (await here.generate()).status_code == 200


class Clock:
    def __init__(self, at: str, zone: str = "UTC") -> None:
        self.set(at, zone)

    def set(self, at: str, zone: str = "UTC") -> None:
        moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        self.now = round(moment.timestamp() * 1000)

    def __call__(self) -> int:
        return self.now


async def _store(clock: Clock, zone: str = "UTC") -> LocalQuotaStore:
    store = LocalQuotaStore(Calendar(zone), clock=clock)
    await store.freeze(Epoch(1))
    await store.rebuild(Epoch(1), [], [])
    return store


async def _take(store: LocalQuotaStore, rid: str, limit: Limit) -> Admitted | None:
    outcome = await store.reserve([Reservation(rid, {Measure.SPEND: 100}, [limit])])
    return outcome if isinstance(outcome, Admitted) else None


async def test_39150_a_cost_that_is_known_late_lands_in_the_month_of_admission() -> None:
    clock = Clock("2026-11-30T23:59:50")
    store = await _store(clock)
    limit = Limit(Scope.project("p"), Measure.SPEND, 1000, "month")
    admitted = await _take(store, "a/1", limit)
    assert admitted is not None
    await store.dispatch(admitted.holds[0])
    clock.set("2026-12-01T00:01:00")
    await store.settle(admitted.holds[0], {Measure.SPEND: 90})
    assert [x.settled for x in await store.standing([limit])] == [0]
    clock.set("2026-11-30T23:59:59")
    assert [x.settled for x in await store.standing([limit])] == [90]


async def test_36941_29576_39726_34733_a_new_window_is_another_counter_and_nothing_is_set_back() -> None:
    """A settle of yesterday that comes after midnight takes nothing from today, and today's first calls and
    yesterday's last settle cannot overwrite each other."""
    clock = Clock("2026-11-20T23:59:59")
    store = await _store(clock)
    limit = Limit(Scope.project("p"), Measure.SPEND, 200, "day")
    late = await _take(store, "a/1", limit)
    assert late is not None
    await store.dispatch(late.holds[0])
    assert await _take(store, "b/1", limit) is not None
    assert await _take(store, "c/1", limit) is None
    clock.set("2026-11-21T00:00:01")
    assert await _take(store, "d/1", limit) is not None
    await store.settle(late.holds[0], {Measure.SPEND: 100})
    (today,) = await store.standing([limit])
    assert (today.settled, today.held) == (0, 100)
    clock.set("2026-11-20T23:59:59")
    (yesterday,) = await store.standing([limit])
    assert (yesterday.settled, yesterday.held) == (100, 100)


@pytest.mark.parametrize(
    ("zone", "last", "first"),
    [
        ("Asia/Kolkata", "2026-11-20T23:59:59", "2026-11-21T00:00:00"),
        ("America/Los_Angeles", "2026-11-20T23:59:59", "2026-11-21T00:00:00"),
        ("Europe/Vienna", "2026-10-25T23:59:59", "2026-10-26T00:00:00"),  # a day of 25 hours
    ],
)
async def test_38938_40978_a_day_begins_at_the_organisations_midnight(
    zone: str, last: str, first: str
) -> None:
    """Not at UTC's, and no day has 32 hours."""
    clock = Clock(last[:10] + "T00:00:00", zone)
    store = await _store(clock, zone)
    limit = Limit(Scope.project("p"), Measure.SPEND, 100, "day")
    assert await _take(store, "a/1", limit) is not None
    clock.set(last, zone)
    assert await _take(store, "b/1", limit) is None
    clock.set(first, zone)
    assert await _take(store, "c/1", limit) is not None


Spend = Callable[[Here], Awaitable[httpx.Response]]


def _json(path: str, **more: object) -> Spend:
    return lambda here: here.client.post(path, json={**_BODY, **more})


def _edit(path: str) -> Spend:
    picture = (Path(__file__).parents[1] / "contract" / "dot.png").read_bytes()
    return lambda here: here.client.post(path, data=_BODY, files={"image": ("dot.png", picture, "image/png")})


_VERSION = "?api-version=2025-04-01-preview"


@pytest.mark.parametrize(
    "spend",
    [
        _json("/v1/images/generations"),
        _json("/v1/images/generations", stream=True),
        _json("/v1/images/generations", n=3, user="another"),
        _json("/openai/v1/images/generations"),
        _json(f"/openai/deployments/gpt-image-2/images/generations{_VERSION}"),
        _edit("/v1/images/edits"),
        _edit("/openai/v1/images/edits"),
        _edit(f"/openai/deployments/gpt-image-2/images/edits{_VERSION}"),
    ],
)
async def test_11083_9658_no_way_to_a_provider_passes_the_budget_by(
    upstream: Upstream, tmp_path: Path, spend: Spend
) -> None:
    async with budgeted(upstream, tmp_path, DAY | {"spend_usd": "0.001"}) as here:
        refused(await spend(here), 429, "project_spend_limit_exceeded", again=False)
        assert list(upstream.images) == []
        assert await standing(here) == NOTHING


async def test_a_hold_is_never_shrunk_to_what_remains(upstream: Upstream, tmp_path: Path) -> None:
    """There, whatever remained was held and the call admitted; here it is refused, and a cheaper one is
    not."""
    async with budgeted(upstream, tmp_path, DAY | {"spend_usd": 0.22}) as here:
        assert (await here.generate()).status_code == 200
        await here.rows("attempts")
        assert (await here.generate(n=2)).status_code == 200
        await here.rows("attempts")
        error = refused(await high(here), 429, "project_spend_limit_exceeded", again=False)
        assert "quality: medium" in error["message"]
        assert (await here.generate(quality="medium")).status_code == 200


async def test_a_cancelled_call_is_charged_for_its_picture_and_not_only_for_its_prompt(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(delay=0.4))
    call = asyncio.create_task(high(one))
    await upstream.wait_for(1)
    call.cancel()
    await until_standing(one, billed(upstream))
    assert billed(upstream) > 0.21


async def test_a_ledger_that_is_away_at_admission_leaves_no_hold_behind(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.sqlite_store.BUSY_SECONDS", 0.2)
    async with budgeted(upstream, tmp_path, DAY) as here:
        with locked(here.database):
            answers = await asyncio.gather(*(high(here) for _ in range(6)))
            assert {answer.status_code for answer in answers} <= {429, 503}
        await until_standing(here, 0)
