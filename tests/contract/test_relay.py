"""What the engine promises, between a client's socket and a provider's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.upstreams_here import config, events
from tests.noon import ZONE
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream


async def test_an_answer_is_the_upstreams_own_bytes(one: Here, upstream: Upstream) -> None:
    for usage in ("after", "before"):
        upstream.plan(on.ok(bytes=1_000_000, usage=usage))
        response = await one.generate()
        assert response.status_code == 200
        assert len(response.content) == 1_000_000
        assert list(response.json()) == list(json.loads(response.content))
        assert response.headers["x-imagegate-provider"] == "up1"
        assert response.headers["x-imagegate-cost-usd"]
    sent = upstream.images[0]
    assert sent.fields == {
        "model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low",
    }  # fmt: skip


async def test_nothing_of_the_clients_headers_goes_upstream(one: Here, upstream: Upstream) -> None:
    await one.client.post(
        "/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": "x"},
        headers={
            "x-secret": "1",
            "cookie": "a=b",
            "openai-organization": "org-theirs",
            "user-agent": "theirs/1",
        },
    )
    sent = {name.lower() for name, _ in upstream.images[0].headers.items()}
    assert sent <= {
        "host", "authorization", "accept", "accept-encoding", "content-type", "content-length", "user-agent",
    }  # fmt: skip
    assert KEY not in str(upstream.images[0].headers)


async def test_one_row_per_request_and_attempt_with_tokens_and_cost(one: Here) -> None:
    response = await one.generate(quality="high", user="alice")
    usage = response.json()["usage"]
    (request,), (attempt,) = await one.rows("requests"), await one.rows("attempts")
    cost = usage["input_tokens"] * 5_000 + usage["output_tokens"] * 30_000
    assert usage["output_tokens"] == 7024
    assert (attempt["state"], attempt["cost"], attempt["output_tokens"]) == ("settled", cost, 7024)
    assert (request["status"], request["cost"], request["images"]) == (200, cost, 1)
    assert request["end_user"] == "alice"
    assert request["request_id"] == response.headers["x-request-id"]
    assert float(response.headers["x-imagegate-cost-usd"]) == pytest.approx(cost / 1e9)


async def test_a_missing_usage_is_unknown_and_never_free(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(usage="none"))
    response = await one.generate()
    assert response.status_code == 200
    (attempt,) = await one.rows("attempts")
    assert attempt["cost"] != 0
    assert "usage_missing" in attempt["flags"]


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        (on.error("rate_limit"), "released"),
        (on.error("invalid_key"), "released"),
        (on.error("overloaded"), "released"),
        (on.error("server_error"), "released"),
        (on.error("model_not_found"), "released"),
    ],
)
async def test_a_failure_that_made_nothing_goes_to_the_next_target(
    two: tuple[Here, Upstream], upstream: Upstream, behaviour: on.Behaviour, state: str
) -> None:
    here, second = two
    upstream.plan(behaviour)
    response = await here.generate()
    assert response.status_code == 200
    assert (response.headers["x-imagegate-provider"], response.headers["x-imagegate-attempts"]) == (
        "up2",
        "2",
    )
    first, other = await here.rows("attempts")
    assert (first["state"], other["state"]) == (state, "settled")
    assert len(second.images) == 1


async def test_an_unreachable_provider_is_left_for_the_next(
    two: tuple[Here, Upstream], upstream: Upstream
) -> None:
    here, _ = two
    await upstream.stop()
    response = await here.generate()
    assert response.headers["x-imagegate-provider"] == "up2"
    assert (await here.rows("attempts"))[0]["certainty"] == "not_sent"


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "state"),
    [
        (on.reset("before_headers"), 502, "upstream_unknown", "unknown"),
        (on.close("before_headers"), 502, "upstream_unknown", "unknown"),
        (on.html(502), 502, "upstream_unknown", "unknown"),
        (on.html(504), 504, "upstream_timeout", "unknown"),
        (on.cut(500, bytes=100_000), 502, "bad_upstream_payload", "unknown"),
        (on.reset(50_000), 502, "bad_upstream_payload", "unknown"),
        (on.broken_json(), 502, "bad_upstream_payload", "unknown"),
        (on.truncated_base64(), 502, "bad_upstream_payload", "settled"),
        (on.not_a_picture(), 502, "bad_upstream_payload", "settled"),
        (on.empty_data(), 502, "empty_result", "settled"),
        (on.empty_data(usage="none"), 502, "empty_result", "unknown"),
        (on.nothing(), 502, "bad_upstream_payload", "unknown"),
        (on.error("moderation"), 400, "moderation_blocked", "released"),
        (on.error("moderation_output"), 400, "moderation_blocked", "unknown"),
    ],
)
async def test_what_may_have_been_paid_is_not_bought_again(
    two: tuple[Here, Upstream],
    upstream: Upstream,
    behaviour: on.Behaviour,
    status: int,
    code: str,
    state: str,
) -> None:
    here, second = two
    upstream.plan(behaviour)
    response = await here.generate()
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert set(error) >= {"message", "type", "param", "code"}
    assert response.headers["x-should-retry"] == "false"
    (attempt,) = await here.rows("attempts")
    assert attempt["state"] == state
    assert list(second.images) == []
    (request,) = await here.rows("requests")
    assert (request["status"], request["error_code"]) == (status, code)


async def test_moderation_details_reach_the_client(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.error("moderation"))
    error = (await one.generate()).json()["error"]
    assert error["type"] == "image_generation_user_error"
    assert error["moderation_details"] == {"moderation_stage": "input", "categories": ["other"]}


async def test_a_silent_upstream_is_a_timeout_at_the_deadline(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, deadline="1s"), tmp_path) as here:
        upstream.plan(on.hang("before_headers"))
        response = await here.generate()
        assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
        (attempt,) = await here.rows("attempts", settle=0.2)
        assert attempt["state"] == "unknown"


async def test_f35_an_answer_after_the_deadline_is_still_settled(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, deadline="1s"), tmp_path) as here:
        upstream.plan(on.ok(delay=1.6))
        assert (await here.generate()).status_code == 504
        (attempt,) = await here.rows("attempts", settle=0.1)
        assert attempt["state"] == "unknown"
        (attempt,) = await here.rows("attempts")
        assert (attempt["state"], attempt["cost"]) == (
            "settled",
            upstream.images[0].usage and attempt["cost"],
        )
        assert attempt["cost"] > 0


async def test_a_call_that_gets_no_place_before_the_deadline_is_never_sent(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    crowded = config(upstream, deadline="2s").replace('"type":', '"max_in_flight": 1, "type":', 1)
    async with gateway_here(crowded, tmp_path) as here:
        upstream.plan(on.ok(delay=2.6))
        first = asyncio.create_task(here.generate())
        while not upstream.images:
            await asyncio.sleep(0.01)
        second = await here.generate()
        assert (second.status_code, second.json()["error"]["code"]) == (503, "server_is_overloaded")
        assert (await first).status_code == 504
        attempts = await here.rows("attempts", settle=1.2)
        assert sorted(attempt["state"] for attempt in attempts) == ["released", "settled"]
        assert len(upstream.images) == 1


async def test_a_streams_wait_for_a_place_comes_out_of_its_time(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    crowded = config(upstream, deadline="3s").replace('"type":', '"max_in_flight": 1, "type":', 1)
    async with gateway_here(crowded, tmp_path) as here:
        upstream.plan(on.ok(delay=1.4), on.hang("before_headers"))
        first = asyncio.create_task(here.generate())
        while not upstream.images:
            await asyncio.sleep(0.01)
        begun = asyncio.get_running_loop().time()
        second = await here.generate(stream=True)
        assert (second.status_code, second.json()["error"]["code"]) == (504, "upstream_timeout")
        assert asyncio.get_running_loop().time() - begun < 4.2  # a time of its own would make it 4.4
        assert (await first).status_code == 200


async def test_a_late_answer_without_pictures_is_settled_at_what_it_says(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream, deadline="2s"), tmp_path) as here:
        upstream.plan(replace(on.empty_data(), delay=2.4))
        assert (await here.generate()).status_code == 504
        (attempt,) = await here.rows("attempts", settle=0.1)
        assert attempt["state"] == "unknown"
        (attempt,) = await here.rows("attempts")
        assert (attempt["state"], attempt["kind"], attempt["images"]) == ("settled", "empty", 0)
        assert attempt["cost"] > 0


async def test_the_first_of_several_clear_failures_is_told(
    two: tuple[Here, Upstream], upstream: Upstream
) -> None:
    here, second = two
    upstream.plan(on.error("rate_limit"))
    second.plan(on.error("server_error"))
    response = await here.generate()
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["retry-after"] == "12"
    assert response.headers["x-should-retry"] == "false", "each retry of the client's would be two calls"


async def test_a_client_that_leaves_does_not_cancel_what_is_paid(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.5))
    task = asyncio.create_task(one.generate())
    while not upstream.images:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.8)
    (attempt,), (request,) = await one.rows("attempts"), await one.rows("requests")
    assert attempt["state"] == "settled"
    assert not upstream.images[0].disconnected
    assert request["client_gone"] == 1


async def test_a_stream_is_relayed_event_by_event_and_settled(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(bytes=300_000))
    found = await events(one, partial_images=2)
    assert [name.rsplit(".", 1)[1] for name, _ in found] == ["partial_image", "partial_image", "completed"]
    assert all("error" not in data for _, data in found)
    usage = found[-1][1]["usage"]
    (attempt,) = await one.rows("attempts")
    assert (attempt["state"], attempt["output_tokens"]) == ("settled", usage["output_tokens"])


async def test_events_flow_while_the_picture_is_still_being_made(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(event_delay=0.8, partials=2))
    loop = asyncio.get_running_loop()
    body = {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 2}
    async with one.client.stream("POST", "/v1/images/generations", json=body) as response:
        lines = response.aiter_lines()
        arrivals = [loop.time() async for line in lines if line.startswith("event:")]
    assert len(arrivals) == 3
    assert arrivals[-1] - arrivals[0] > 0.4  # of 1.6, where the first came late


async def test_an_error_before_the_first_event_is_plain_json(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.error("invalid_key"))
    response = await one.generate(stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_auth_failed")
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "behaviour", [on.stream_cut(1), on.stream_end(1), on.stream_reset(1), on.stream_cut(1, within=True)]
)
async def test_a_cut_stream_ends_with_an_error_event_and_no_second_call(
    two: tuple[Here, Upstream], upstream: Upstream, behaviour: on.Behaviour
) -> None:
    here, second = two
    upstream.plan(behaviour)
    found = await events(here, partial_images=2)
    assert [name for name, _ in found] == ["image_generation.partial_image", "error"]
    assert found[-1][1]["error"]["code"] == "bad_upstream_payload"
    assert list(second.images) == []
    (attempt,) = await here.rows("attempts")
    assert attempt["state"] == "unknown"


async def test_an_error_event_first_is_a_status_and_may_fail_over(
    two: tuple[Here, Upstream], upstream: Upstream
) -> None:
    here, _ = two
    upstream.plan(on.stream_error(0))
    found = await events(here, partial_images=1)
    assert found[-1][0] == "image_generation.completed"
    assert [row["state"] for row in await here.rows("attempts")] == ["released", "settled"]


async def test_an_error_event_after_a_picture_is_relayed_in_our_words(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.stream_error(1))
    found = await events(one, partial_images=2)
    assert found[-1][0] == "error"
    assert set(found[-1][1]["error"]) == {"message", "type", "param", "code"}


async def test_a_target_that_answers_json_still_gives_a_stream(upstream: Upstream, tmp_path: Path) -> None:
    """An upstream without streaming: the answer in one piece becomes one completed event a picture."""
    small = base64.b64encode((Path(__file__).parent / "dot.png").read_bytes()).decode()
    pictures = {"created": 7, "data": [{"b64_json": small}, {"b64_json": small}], "usage": {
        "input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}  # fmt: skip
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        upstream.plan(on.error(200, pictures))
        found = await events(here, n=2)
        assert [name for name, _ in found] == ["image_generation.completed"] * 2
        assert [data["b64_json"] for _, data in found] == [small, small]
        assert [data["usage"]["output_tokens"] for _, data in found] == [0, 2]
        assert found[0][1]["created_at"] == 7


async def test_f11_what_does_not_fit_is_refused_with_what_would(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    limited = (
        config(upstream)
        + f"\norganization: {{timezone: {ZONE}, limits: [{{spend_usd: 0.25, per: day}}],"
        + " projects: [{name: t, keys: "
    )
    limited += f'[{{name: k, sha256: "{hashlib.sha256(KEY.encode()).hexdigest()}"}}]}}]}}\n'
    async with gateway_here(limited, tmp_path) as here:
        assert (await here.generate(quality="high")).status_code == 200
        await here.rows("attempts")
        response = await here.generate(quality="high", size="1024x1024")
        error = response.json()["error"]
        assert (response.status_code, error["type"]) == (429, "insufficient_quota")
        assert error["code"] == "organization_spend_limit_exceeded"
        assert response.headers["x-should-retry"] == "false"
        assert "quality: low" in error["message"]
        assert len(upstream.images) == 1
        assert (await here.generate(quality="low")).status_code == 200
