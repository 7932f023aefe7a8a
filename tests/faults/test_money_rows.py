"""What clients get, what is charged and what stays held when things go wrong around money: the failure cases
by their numbers, through a whole gateway."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only
from structlog.testing import CapturingLogger

from gateway.ledger import epochs, sqlite_store
from gateway.ledger.ledger import Ledger
from tests.contract.gateway_here import KEY, Here
from tests.faults.budgeted import (
    DAY,
    HIGH,
    billed,
    budgeted,
    config,
    high,
    locked,
    refused,
    spent,
    standing,
    until_standing,
)
from tests.gateway_process import Gateway
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.simulators.process import UpstreamProcess
from tests.soak.stores import Redis

COST = 7024 * 30_000
LOW = 196 * 30_000


async def test_f09_a_rate_is_refused_with_the_wait_and_nothing_is_sent(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path, {"images": 2, "per": "minute"}) as here:
        assert (await here.generate(n=2)).status_code == 200
        answer = await here.generate()
        refused(answer, 429, "rate_limit_exceeded", again=True)
        assert 25 <= float(answer.headers["retry-after"]) <= 31
        assert len(upstream.images) == 1


async def test_f10_too_many_at_once_are_refused_until_one_has_ended(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = on.ok(delay=0.5)
    async with budgeted(upstream, tmp_path, {"concurrent": 2}) as here:
        answers = await asyncio.gather(*(here.generate() for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        for answer in answers:
            if answer.status_code == 429:
                refused(answer, 429, "concurrency_limit", again=True)
                assert float(answer.headers["retry-after"]) > 0
        await here.rows("attempts")
        assert (await here.generate()).status_code == 200


@pytest.mark.parametrize("kind", ["local", "redis"])
async def test_f13_of_64_parallel_requests_exactly_the_4_that_fit_are_sent(
    upstream: Upstream, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    quota = request.getfixturevalue("redis").url if kind == "redis" else "local"
    upstream.default = on.ok(delay=1.5)
    async with budgeted(upstream, tmp_path, DAY, quota=quota) as here:
        answers = await asyncio.gather(*(high(here) for _ in range(64)))
        admitted = [answer for answer in answers if answer.status_code == 200]
        assert len(admitted) == len(upstream.images) == 4
        for answer in answers:
            if answer.status_code != 200:
                error = refused(answer, 429, "project_spend_limit_exceeded", again=False)
                assert error["type"] == "insufficient_quota"
        rows = await here.rows("attempts")
        assert [row["hold_amount"] for row in rows] == [HIGH] * 4
        used = billed(upstream)
        assert await standing(here) == (used, 0, 0)
        assert sum(row["cost"] for row in rows) == round(used * 1e9) <= 1_000_000_000


async def test_f14_a_price_that_is_not_known_is_refused_under_a_dollar_limit(
    upstream: Upstream, tmp_path: Path
) -> None:
    unpriced = {"target": {"model": "somebodys-model"}, "provider": {"type": "openai-compatible"}}
    async with budgeted(upstream, tmp_path, DAY, **unpriced) as here:
        error = refused(await here.generate(), 400, "price_unknown", again=False)
        assert error["param"] == "model"
        assert list(upstream.images) == []
        assert await standing(here) == (0, 0, 0)


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_f15_without_redis_dollars_are_refused_within_a_second(
    upstream: Upstream, tmp_path: Path, redis: Redis, how: str
) -> None:
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        assert (await here.generate()).status_code == 200
        assert redis.process is not None
        if how == "silent":
            redis.process.send_signal(signal.SIGSTOP)
        else:
            redis.kill()
        for _ in range(3):
            begun = perf_counter()
            answer = await here.generate()
            assert perf_counter() - begun < 3  # on an idle machine one
            refused(answer, 503, "budget_store_unavailable", again=True)
        if how == "silent":
            redis.process.send_signal(signal.SIGCONT)
        assert len(upstream.images) == 1
        assert len(await here.rows("requests")) == 1


async def test_f16_an_allowance_is_spent_and_then_dollars_are_refused(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    limit = {"spend_usd": 60, "per": "day", "when_away": "allowance"}
    async with budgeted(upstream, tmp_path, limit, quota=redis.url) as here:
        assert (await high(here)).status_code == 200  # sets 1 % of the rest aside: $0.598
        await here.rows("attempts")
        redis.kill()
        answers = [await high(here) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 503, 503]
        refused(answers[-1], 503, "budget_store_unavailable", again=True)
        redis.start()
        await until_standing(here, billed(upstream))
        assert len(upstream.images) == 3


async def test_f17_rates_alone_are_not_enforced_without_redis_and_say_so(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    async with budgeted(upstream, tmp_path, {"images": 1, "per": "minute"}, quota=redis.url) as here:
        redis.kill()
        for _ in range(2):
            answer = await here.generate()
            assert (answer.status_code, answer.headers["x-ratelimit-enforced"]) == (200, "false")
        rows = await here.rows("attempts")
        assert [row["state"] for row in rows] == ["settled", "settled"]


@pytest.mark.parametrize("wiped", [False, True])
async def test_f18_redis_dies_between_dispatch_and_settle(
    upstream: Upstream, tmp_path: Path, redis: Redis, wiped: bool
) -> None:
    upstream.default = on.ok(delay=0.5)
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        call = asyncio.create_task(high(here))
        await upstream.wait_for(1)
        await redis.crash(1.0, wipe=wiped)
        answer = await call
        assert answer.status_code == 200
        (row,) = await here.rows("attempts")
        assert (row["state"], row["cost"]) == ("settled", round(spent(upstream.images[0]) * 1e9))
        await until_standing(here, spent(upstream.images[0]))


async def test_f19_a_flushed_redis_is_rebuilt_before_anything_is_admitted(
    upstream: Upstream, tmp_path: Path, redis: Redis
) -> None:
    async with budgeted(upstream, tmp_path, DAY, quota=redis.url) as here:
        for _ in range(4):
            assert (await high(here)).status_code == 200
        await here.rows("attempts")
        with socket.create_connection(("127.0.0.1", redis.port)) as link:
            link.sendall(b"FLUSHALL\r\n")
            assert link.recv(8).startswith(b"+OK")
        begun, seen = perf_counter(), set()
        while True:
            answer = await high(here)
            seen.add((answer.status_code, answer.json()["error"]["code"]))
            if answer.status_code == 429:
                break
            assert perf_counter() - begun < 30
            await asyncio.sleep(0.05)
        assert seen == {(503, "budget_state_rebuilding"), (429, "project_spend_limit_exceeded")}
        assert len(upstream.images) == 4
        assert await standing(here) == (round(sum(map(spent, upstream.images)), 9), 0, 0)


async def test_f19_a_replica_that_stalls_in_its_transaction_does_not_hold_up_the_rebuild(
    postgres_database: str, tmp_path: Path
) -> None:
    """It has locked out new epochs until its own intent row is written."""
    stalled, other = [await Ledger.open(postgres_database, tmp_path) for _ in range(2)]
    has_lock, slept = asyncio.Event(), []

    def stall(connection: Connection) -> None:
        epochs.refuse_superseded(connection, [{"epoch": 1}])
        has_lock.set()
        await_only(asyncio.sleep(6))
        slept.append(True)
        connection.execute(text("SELECT 1"))

    try:
        await other.begin_epoch(None)
        stalling = asyncio.create_task(stalled._store.write(stall))
        await has_lock.wait()
        assert (await other.begin_epoch(None)).number == 2
        assert not slept
        with pytest.raises(epochs.Superseded):  # its connection was ended, and it did its work once more
            await stalling
        await stalled.begin_epoch(None)
    finally:
        await asyncio.gather(stalled.close(), other.close())


async def test_f22_without_the_ledger_nothing_is_sent_and_the_hold_goes_back(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.2)
    async with budgeted(upstream, tmp_path, DAY) as here:
        with locked(here.database):
            refused(await high(here), 503, "ledger_unavailable", again=True)
        assert list(upstream.images) == []
        assert (await here.client.get("/livez")).status_code == 200
        await until_standing(here, 0)
        assert await here.rows("requests") == []
        await asyncio.sleep(1.2)  # what was kept beside the database is written every second
        assert await here.rows("attempts") == []
        assert not (tmp_path / "data" / "arrears.rejected").exists()
        assert (await high(here)).status_code == 200


async def test_f23_without_the_ledger_at_settle_the_client_gets_its_picture(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.2)
    upstream.default = on.ok(delay=0.3)
    async with budgeted(upstream, tmp_path, DAY) as here:
        call = asyncio.create_task(high(here))
        await upstream.wait_for(1)
        with locked(here.database):
            answer = await call
            assert answer.status_code == 200
            (row,) = await here.rows("attempts")
            assert row["state"] == "dispatched"
            assert (await standing(here))[0] == spent(upstream.images[0])
        row = await until_settled(here)
        assert row["cost"] == round(spent(upstream.images[0]) * 1e9)
        (request,) = await here.rows("requests")
        assert request["status"] == 200


async def until_settled(here: Here) -> dict[str, Any]:
    """The one attempt, once what was kept beside the ledger is in it."""
    async with asyncio.timeout(20):
        while True:
            (row,) = await here.rows("attempts")
            if row["state"] == "settled":
                return row
            await asyncio.sleep(0.1)


async def test_f24_a_full_disk_ends_new_work_and_not_the_running(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.2)
    upstream.default = on.ok(delay=0.3)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    async with budgeted(upstream, tmp_path, DAY) as here:
        call = asyncio.create_task(high(here))
        await upstream.wait_for(1)
        with locked(here.database), monkeypatch.context() as disk:
            disk.setattr("gateway.ledger.arrears.os.pwrite", full)
            assert (await call).status_code == 200
            assert (await here.client.get("/readyz")).status_code == 503
            refused(await high(here), 503, "ledger_unavailable", again=True)
            assert (await standing(here))[0] == spent(upstream.images[0])
        await until_settled(here)
        assert (await here.client.get("/readyz")).status_code == 200


async def test_f26_calls_that_run_or_are_unknown_are_no_drift(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm each minute, for as long as an outcome is unknown, would teach people to ignore it."""
    monkeypatch.setattr("gateway.quota.keeper.DRIFT_SECONDS", 0.1)
    logged = CapturingLogger()
    monkeypatch.setattr("gateway.engine.keeping._log", logged)
    upstream.plan(on.cut(500, bytes=50_000), on.ok(delay=0.6))
    async with budgeted(upstream, tmp_path, {"images": 10, "per": "day"}, DAY) as here:
        assert (await here.generate()).status_code == 502
        assert (await here.generate(n=3)).status_code == 200
        await asyncio.sleep(0.3)
        assert await standing(here) == (4, 0, 0)
    assert [call for call in logged.calls if call.args == ("ledger_drift",)] == []


@pytest.mark.slow
async def test_f26_killed_after_dispatch_the_estimate_stays_counted(
    upstream_process: UpstreamProcess, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    upstream_process.plan("ok delay=30")
    written = config(upstream_process, DAY)  # type: ignore[arg-type]  # base_url and key are what is read
    (tmp_path / "key1").write_text(upstream_process.key)
    data = tmp_path / "data"
    gateway = await asyncio.to_thread(start_gateway, written, folder=tmp_path, data=data, key=KEY)
    call = asyncio.create_task(_post(gateway))
    while upstream_process.stats()["running"] < 1:
        await asyncio.sleep(0.05)
    gateway.process.kill()
    with pytest.raises(httpx.TransportError):
        await call
    gateway = await asyncio.to_thread(start_gateway, written, folder=tmp_path, data=data, key=KEY)
    limit = (await _get(gateway))["limits"][0]
    assert (limit["used"], limit["held"], limit["unknown"]) == ("0", "0", "0.210845")


async def test_f39_of_four_pictures_two_came(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(count=2))
    answer = await one.generate(n=4)
    assert (answer.status_code, answer.headers["x-imagegate-partial"]) == (200, "2/4")
    assert len(answer.json()["data"]) == 2
    (row,) = await one.rows("attempts")
    assert (row["images"], row["cost"]) == (2, round(spent(upstream.images[0]) * 1e9))
    assert row["hold_amount"] >= 4 * LOW > row["cost"]
    assert await standing(one) == (spent(upstream.images[0]), 0, 0)


async def test_f40_an_empty_answer_with_usage_is_charged_and_not_repeated(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.empty_data())
    refused(await one.generate(), 502, "empty_result", again=False)
    (row,) = await one.rows("attempts")
    assert (row["state"], row["images"]) == ("settled", 0)
    assert await standing(one) == (row["cost"] / 1e9, 0, 0)
    assert len(upstream.images) == 1


async def test_f41_a_cut_answer_stays_counted_at_its_estimate(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.cut(500, bytes=50_000))
    refused(await high(one), 502, "bad_upstream_payload", again=False)
    assert await standing(one) == (0, 0, HIGH / 1e9)


async def test_f42_without_usage_the_expected_cost_is_charged(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(usage="none"))
    answer = await high(one)
    assert answer.status_code == 200
    (row,) = await one.rows("attempts")
    assert COST <= row["cost"] <= HIGH
    assert {"usage_missing", "estimated"} <= set(row["flags"].split(","))
    assert await standing(one) == (row["cost"] / 1e9, 0, 0)


def _with_usage(output_tokens: int) -> on.Behaviour:
    picture = base64.b64encode((Path(__file__).parents[1] / "contract" / "dot.png").read_bytes()).decode()
    usage = {"input_tokens": 10, "output_tokens": output_tokens, "total_tokens": 10 + output_tokens}
    return on.error(200, {"created": 1, "data": [{"b64_json": picture}], "usage": usage})


async def test_f43_more_than_was_held_is_charged_whole_and_marked(one: Here, upstream: Upstream) -> None:
    upstream.plan(_with_usage(50_000))
    assert (await high(one)).status_code == 200
    (row,) = await one.rows("attempts")
    assert row["cost"] == 10 * 5_000 + 50_000 * 30_000 > row["hold_amount"]
    assert "hold_underestimate" in row["flags"]
    assert await standing(one) == (row["cost"] / 1e9, 0, 0)
    refused(await one.generate(), 429, "project_spend_limit_exceeded", again=False)


async def test_f45_a_client_that_leaves_before_dispatch_costs_nothing(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path, DAY) as here:
        with locked(here.database):  # the intent row has to wait
            call = asyncio.create_task(high(here))
            async with asyncio.timeout(3):
                while (await standing(here))[1] != HIGH / 1e9:
                    await asyncio.sleep(0.02)
            call.cancel()
            await asyncio.sleep(0.6)
        await until_standing(here, 0)
        (row,), (request,) = await here.rows("attempts"), await here.rows("requests")
        assert (row["state"], row["counted_requests"]) == ("released", 0)
        assert request["error_code"] == "client_gone_early"
        assert list(upstream.images) == []


async def test_f51_a_stream_cut_after_a_partial_stays_counted(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.stream_cut(1))
    answer = await high(one, stream=True, partial_images=2)
    assert "event: error" in answer.text
    (row,) = await one.rows("attempts")
    assert (row["state"], len(upstream.images)) == ("unknown", 1)
    assert await standing(one) == (0, 0, row["hold_amount"] / 1e9)


async def test_f58_a_limit_lowered_below_what_is_spent_refuses_what_is_new(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path, DAY) as here:
        assert (await high(here)).status_code == 200
        await here.rows("attempts")
    async with budgeted(upstream, tmp_path, {"spend_usd": 0.1, "per": "day"}) as here:
        used = spent(upstream.images[0])
        assert await standing(here) == (used, 0, 0)
        refused(await here.generate(), 429, "project_spend_limit_exceeded", again=False)
    async with budgeted(upstream, tmp_path, {"spend_usd": 0.3, "per": "day"}) as here:
        assert (await here.generate()).status_code == 200
        refused(await high(here), 429, "project_spend_limit_exceeded", again=False)


async def test_f60_prices_that_change_while_a_call_runs_do_not_change_its_cost(
    upstream: Upstream, tmp_path: Path
) -> None:
    first = {"target": {"prices": [{"since": "2026-01-01", "per_image": 0.10}]}}
    upstream.default = on.ok(delay=0.4)
    async with budgeted(upstream, tmp_path, DAY, **first) as here:
        call = asyncio.create_task(here.generate())
        await upstream.wait_for(1)
        model = here.gateway.directory.get("gpt-image-2")
        assert model is not None
        # The catalog is another one from now on.
        object.__setattr__(model.targets[0].entry, "prices", ())
        assert (await call).status_code == 200
        (row,) = await here.rows("attempts")
        assert row["cost"] == 100_000_000
        assert row["price_version"]


@pytest.mark.slow
async def test_f64_one_replica_dies_and_the_others_go_on(
    upstream_process: UpstreamProcess,
    tmp_path: Path,
    redis: Redis,
    postgres_database: str,
    start_gateway: Callable[..., Gateway],
) -> None:
    upstream_process.plan("ok delay=30", "ok delay=1.5")
    storage = {"database": postgres_database}
    written = config(upstream_process, DAY, quota=redis.url, storage=storage)  # type: ignore[arg-type]
    gateways = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key1").write_text(upstream_process.key)
        gateways.append(await asyncio.to_thread(start_gateway, written, folder=tmp_path / name, key=KEY))
    dying = asyncio.create_task(_post(gateways[0]))
    while upstream_process.stats()["running"] < 1:
        await asyncio.sleep(0.05)
    living = asyncio.create_task(_post(gateways[1]))
    while upstream_process.stats()["running"] < 2:
        await asyncio.sleep(0.05)
    gateways[0].process.kill()
    with pytest.raises(httpx.TransportError):
        await dying
    assert (await living).status_code == 200
    limit = (await _get(gateways[1]))["limits"][0]
    assert float(limit["held"]) + float(limit["unknown"]) == HIGH / 1e9
    assert 0.21 < float(limit["used"]) < 0.211
    assert (await _post(gateways[1])).status_code == 200


_HEADERS = {"authorization": f"Bearer {KEY}"}


async def _post(gateway: Gateway) -> httpx.Response:
    body = {"model": "gpt-image-2", "prompt": "a red cat", "size": "1024x1024", "quality": "high"}
    async with httpx.AsyncClient(headers=_HEADERS, timeout=40, trust_env=False) as client:
        return await client.post(f"{gateway.api}/images/generations", json=body)


async def _get(gateway: Gateway) -> Any:
    async with httpx.AsyncClient(headers=_HEADERS, timeout=10, trust_env=False) as client:
        return (await client.get(f"{gateway.api}/usage")).json()
