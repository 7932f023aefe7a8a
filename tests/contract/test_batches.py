"""More pictures than one upstream call makes: calls side by side, each with its own line in the books."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.quota.errors import HoldLost
from gateway.quota.holds import DispatchedHold, Hold
from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.upstreams_here import config, events
from tests.noon import ZONE
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

ONE_A_CALL = '\ncatalog: [{"id": "gpt-image-2", "max_n": 1}]'
PRICE = 0.0065
"""More than is held for a low picture, and less than for two."""


def limited(*limits: dict[str, object]) -> str:
    sha = hashlib.sha256(KEY.encode()).hexdigest()
    project = {"name": "t", "keys": [{"name": "k", "sha256": sha}]}
    return f"\norganization: {json.dumps({'timezone': ZONE, 'limits': limits, 'projects': [project]})}"


@pytest.fixture
def also() -> str:
    return ONE_A_CALL


def states(attempts: list[dict[str, Any]]) -> list[str]:
    return sorted(attempt["state"] for attempt in attempts)


async def test_pictures_beyond_a_targets_n_are_made_side_by_side(one: Here, upstream: Upstream) -> None:
    upstream.plan(*[on.ok(delay=0.3)] * 3)
    response = await one.generate(n=3)
    assert response.status_code == 200, response.text
    document = response.json()
    assert len(document["data"]) == 3
    assert upstream.most_running == 3
    assert [call.fields.get("n", 1) for call in upstream.images] == [1, 1, 1]
    attempts, (request,) = await one.rows("attempts"), await one.rows("requests")
    assert [attempt["ordinal"] for attempt in attempts] == [1, 2, 3]
    assert states(attempts) == ["settled"] * 3
    assert [(each["counted_requests"], each["counted_images"]) for each in attempts] == [
        (1, 3),
        (0, 0),
        (0, 0),
    ]
    assert (request["images"], request["attempts"], request["n"]) == (3, 3, 3)
    assert request["cost"] == sum(attempt["cost"] for attempt in attempts)
    assert document["usage"]["output_tokens"] == sum(attempt["output_tokens"] for attempt in attempts)
    assert float(response.headers["x-imagegate-cost-usd"]) == pytest.approx(request["cost"] / 1e9)
    assert response.headers["x-imagegate-attempts"] == "3"
    assert "x-imagegate-partial" not in response.headers


@pytest.mark.parametrize(
    ("failure", "state"),
    [(on.error("rate_limit"), "released"), (on.close("before_headers"), "unknown")],
)
async def test_what_some_calls_made_is_delivered_and_paid(
    two: tuple[Here, Upstream], upstream: Upstream, failure: on.Behaviour, state: str
) -> None:
    here, second = two
    upstream.plan(on.ok(), failure, on.ok())
    response = await here.generate(n=3)
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == 2
    assert response.headers["x-imagegate-partial"] == "2/3"
    assert states(await here.rows("attempts")) == sorted(["settled", "settled", state])
    assert list(second.images) == []  # what is missing is not bought again
    (request,) = await here.rows("requests")
    assert (request["status"], request["images"], request["n"]) == (200, 2, 3)
    assert ("x-imagegate-cost-usd" in response.headers) is (state == "released")


async def test_when_all_calls_clearly_failed_the_next_target_makes_all(
    two: tuple[Here, Upstream], upstream: Upstream
) -> None:
    here, second = two
    upstream.plan(on.error("rate_limit"), on.error("server_error"))
    response = await here.generate(n=2)
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == len(second.images) == 2
    assert response.headers["x-imagegate-provider"] == "up2"
    attempts = await here.rows("attempts")
    assert [attempt["ordinal"] for attempt in attempts] == [1, 2, 3, 4]
    assert [attempt["state"] for attempt in attempts] == ["released"] * 2 + ["settled"] * 2
    assert [attempt["counted_images"] for attempt in attempts] == [2, 0, 0, 0]


async def test_one_unclear_failure_among_clear_ones_stops_and_is_told(
    two: tuple[Here, Upstream], upstream: Upstream
) -> None:
    here, second = two
    upstream.plan(on.error("rate_limit"), on.close("before_headers"))
    response = await here.generate(n=2)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_unknown")
    assert response.headers["x-should-retry"] == "false"
    assert list(second.images) == []
    assert states(await here.rows("attempts")) == ["released", "unknown"]


async def test_a_call_that_is_late_does_not_keep_the_others_pictures(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, deadline="2s") + ONE_A_CALL, tmp_path) as here:
        upstream.plan(on.ok(), on.ok(delay=2.6))
        response = await here.generate(n=2)
        assert (response.status_code, response.headers["x-imagegate-partial"]) == (200, "1/2")
        assert states(await here.rows("attempts", settle=0.1)) == ["settled", "unknown"]
        assert states(await here.rows("attempts")) == ["settled", "settled"]


async def test_all_calls_are_held_for_or_none(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    tight = config(upstream) + ONE_A_CALL + limited({"spend_usd": 2 * PRICE, "per": "day"})
    async with gateway_here(tight, tmp_path) as here:
        response = await here.generate(n=3)
        assert (response.status_code, response.json()["error"]["type"]) == (429, "insufficient_quota")
        assert "'n: 1' would be admitted now" in response.json()["error"]["message"]
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert (limit["used"], limit["held"]) == ("0", "0")
        assert list(upstream.images) == []
        assert (await here.generate(n=2)).status_code == 200


@pytest.mark.parametrize("store", ["local", "redis"])
async def test_pictures_and_requests_count_once_and_calls_that_run_each(
    store: str, upstream: Upstream, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    quota = "local"
    if store == "redis":
        quota = request.getfixturevalue("redis_server")
        async with Redis.from_url(quota) as link:
            await link.flushall()
    limits = limited({"images": 3, "per": "day"}, {"requests": 1, "per": "day"}, {"concurrent": 3})
    limits += f'\nstorage: {{"quota": "{quota}"}}'
    async with gateway_here(config(upstream) + ONE_A_CALL + limits, tmp_path) as here:
        crowded = await here.generate(n=4)
        assert crowded.status_code == 429
        assert (await here.generate(n=3)).status_code == 200
        await here.rows("attempts")
        found = (await here.client.get("/v1/usage")).json()["limits"]
        used = {each["measure"]: (each["used"], each["held"]) for each in found}
        assert used == {"images": (3, 0), "requests": (1, 0), "concurrent": (0, 0)}


async def test_more_calls_than_may_ever_run_at_once_are_refused_for_good(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream) + ONE_A_CALL + limited({"concurrent": 2}), tmp_path) as here:
        response = await here.generate(n=3)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "concurrency_limit")
        assert response.headers["x-should-retry"] == "false"
        assert "'n: 1' would be admitted now" in response.json()["error"]["message"]


async def test_a_stream_of_more_pictures_than_one_call_makes_is_refused(
    one: Here, upstream: Upstream
) -> None:
    response = await one.generate(n=3, stream=True)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "n")
    assert "holds at most one picture" in error["message"]
    assert list(upstream.images) == []


async def test_a_stream_says_at_its_end_that_pictures_are_missing(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        upstream.plan(on.stream_end(1))
        found = await events(here, n=2)
        assert [name for name, _ in found] == ["image_generation.completed", "error"]
        assert found[-1][1]["error"]["message"].startswith("1 of 2 pictures were made")
        (request,) = await here.rows("requests")
        assert (request["status"], request["images"]) == (200, 1)


async def test_without_leave_for_all_none_is_sent_and_nothing_counts(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    limits = limited({"images": 9, "per": "day"}, {"requests": 9, "per": "day"}, {"concurrent": 9})
    async with gateway_here(config(upstream) + ONE_A_CALL + limits, tmp_path) as here:
        store = here.gateway.keeping.store
        dispatch = store.dispatch

        async def lose_the_second(hold: Hold) -> DispatchedHold:
            if hold.rid.endswith("/2"):
                raise HoldLost(hold.rid, None)
            return await dispatch(hold)

        monkeypatch.setattr(store, "dispatch", lose_the_second)
        response = await here.generate(n=3)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "hold_lost")
        assert list(upstream.images) == []
        attempts = await here.rows("attempts")
        assert states(attempts) == ["released"] * 3
        assert [(each["counted_requests"], each["counted_images"]) for each in attempts] == [(0, 0)] * 3
        found = (await here.client.get("/v1/usage")).json()["limits"]
        assert [(each["used"], each["held"]) for each in found] == [(0, 0)] * 3


async def test_a_target_without_n_is_not_sent_any(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    no_n = '\ncatalog: [{"id": "gpt-image-2", "fields": ["size", "quality"]}]'
    async with gateway_here(config(upstream) + no_n, tmp_path) as here:
        response = await here.generate(n=2)
        assert len(response.json()["data"]) == 2
        assert [set(call.fields) for call in upstream.images] == [{"model", "prompt", "size", "quality"}] * 2
