"""One call for one ``Idempotency-Key``: made once, paid once, answered as often as somebody asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.tables import to_micros
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.leaving import ask, connected, until_results
from tests.contract.upstreams_here import config
from tests.faults.budgeted import DAY, budgeted, locked, standing
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

KEYED = {"idempotency-key": "order-4711"}


async def test_a_finished_call_is_answered_again_for_nothing(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(bytes=2_000_000))
    first = await ask(one, KEYED)
    again = await ask(one, KEYED)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert "x-imagegate-replayed" not in first.headers
    assert again.headers["x-imagegate-replayed"] == "true"
    assert float(again.headers["x-imagegate-cost-usd"]) == 0
    assert float(first.headers["x-imagegate-cost-usd"]) > 0
    assert again.headers["x-imagegate-size"] == first.headers["x-imagegate-size"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(upstream.images) == 1
    assert len(await one.rows("requests")) == len(await one.rows("attempts")) == 1


async def test_the_order_of_fields_and_absent_ones_make_no_difference(one: Here, upstream: Upstream) -> None:
    await ask(one, KEYED, n=1, user=None)
    body = {"quality": "low", "size": "1024x1024", "prompt": "a red kite", "n": 1, "model": "gpt-image-2"}
    again = await one.client.post("/v1/images/generations", json=body, headers=KEYED)
    assert again.headers["x-imagegate-replayed"] == "true"
    assert len(upstream.images) == 1


async def test_multipart_edits_are_told_apart_by_their_pictures(one: Here, upstream: Upstream) -> None:
    dot = (Path(__file__).parent / "dot.png").read_bytes()

    async def edit(picture: bytes, name: str) -> Any:
        return await one.client.post(
            "/v1/images/edits",
            data={"model": "gpt-image-2", "prompt": "a red kite"},
            files={"image": (name, picture, "image/png")},
            headers=KEYED,
        )

    assert (await edit(dot, "a.png")).status_code == 200
    assert (await edit(dot, "another name.png")).headers["x-imagegate-replayed"] == "true"
    other = dot[:-12] + b"\0\0\0\x03tEXta\0b\xe6\x1d\x07\x1a" + dot[-12:]
    assert (await edit(other, "a.png")).status_code == 422
    assert len(upstream.images) == 1


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"prompt": "a blue kite"}, {}), ({"user": "bob"}, {}), ({}, {"x-imagegate-report": "body"})],
)
async def test_f49_another_payload_under_the_same_key_is_422(
    one: Here, upstream: Upstream, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    await ask(one, KEYED)
    other = await ask(one, {**KEYED, **headers}, **fields)
    assert other.status_code == 422
    assert other.headers["x-should-retry"] == "false"
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len(upstream.images) == 1


async def test_calls_that_come_while_the_first_runs_wait_for_its_answer(
    one: Here, upstream: Upstream
) -> None:
    upstream.plan(on.ok(delay=0.5, bytes=900_000))
    answers = await asyncio.gather(*(ask(one, KEYED) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("x-imagegate-replayed" in answer.headers for answer in answers) == [False, True, True, True]
    assert len(upstream.images) == 1


async def test_a_client_that_leaves_finds_its_answer_under_its_key(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.3))
    async with connected(one, KEYED):
        await upstream.wait_for(1)
    again = await ask(one, KEYED)
    assert (again.status_code, again.headers["x-imagegate-replayed"]) == (200, "true")
    assert len(upstream.images) == 1


async def test_a_refusal_that_no_retry_cures_is_told_again(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.error("moderation"))
    first, again = await ask(one, KEYED), await ask(one, KEYED)
    assert first.status_code == again.status_code == 400
    assert again.json()["error"] == first.json()["error"]
    assert again.headers["x-imagegate-replayed"] == "true"
    assert again.headers["x-should-retry"] == "false"
    assert len(upstream.images) == 1


async def test_an_unclear_outcome_is_told_again_and_never_bought_again(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.reset("before_headers"))
    first, again = await ask(one, KEYED), await ask(one, KEYED)
    assert (first.status_code, again.status_code) == (502, 502)
    assert again.json()["error"]["code"] == "upstream_unknown"
    assert len(upstream.images) == 1


async def test_a_failure_that_made_nothing_leaves_the_key_free(one: Here, upstream: Upstream) -> None:
    upstream.plan(*[on.error("server_error")] * 3)
    first = await ask(one, KEYED)
    assert first.status_code == 500
    assert await one.rows("results") == []
    upstream.reset()
    second = await ask(one, KEYED)
    assert second.status_code == 200
    assert "x-imagegate-replayed" not in second.headers


async def test_what_was_refused_before_it_was_sent_leaves_the_key_free(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path, {"spend_usd": "0.0001", "per": "total"}) as here:
        assert (await ask(here, KEYED)).status_code == 429
        assert (await ask(here, KEYED, size="no size")).status_code == 400
        assert await here.rows("results") == []
    assert upstream.images == []


async def test_f50_an_answer_that_is_gone_is_410_and_not_another_picture(
    one: Here, upstream: Upstream
) -> None:
    await ask(one, KEYED)
    (row,) = await until_results(one)
    assert await one.gateway.media.delete(row["media_id"])
    gone = await ask(one, KEYED)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "result_expired")
    assert gone.headers["x-should-retry"] == "false"
    assert len(upstream.images) == 1


async def test_f50_an_answer_that_has_expired_is_swept_and_its_key_still_known(
    one: Here, upstream: Upstream
) -> None:
    from datetime import UTC, datetime, timedelta

    await ask(one, KEYED)
    (row,) = await until_results(one)
    hours = (row["expires_at"] - to_micros(datetime.now(UTC))) / 3.6e9
    assert 23.9 < hours <= 24
    ledger, later = one.gateway.ledger, datetime.now(UTC) + timedelta(hours=25)
    assert await ledger.results.expire(later, timedelta(days=7)) == [row["media_id"]]
    gone = await ask(one, KEYED)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "result_expired")
    assert len(upstream.images) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9"])
async def test_a_key_is_printable_and_short(one: Here, upstream: Upstream, key: str) -> None:
    response = await one.client.post(
        "/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": "x"},
        headers=[("idempotency-key", key.encode("latin-1"))],
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert upstream.images == []


async def test_a_stream_is_told_again_as_its_completed_events(one: Here, upstream: Upstream) -> None:
    first = await ask(one, KEYED, stream=True, partial_images=2)
    again = await ask(one, KEYED, stream=True, partial_images=2)
    names = [line[7:] for line in again.text.splitlines() if line.startswith("event: ")]
    assert names == ["image_generation.completed"]
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.headers["x-imagegate-replayed"] == "true"
    assert again.text in first.text
    assert len(upstream.images) == 1


async def test_links_are_fresh_when_they_are_told_again(one: Here, upstream: Upstream) -> None:
    first = await ask(one, KEYED, response_format="url")
    await asyncio.sleep(1.1)
    again = await ask(one, KEYED, response_format="url")
    was, now = first.json()["data"][0]["url"], again.json()["data"][0]["url"]
    assert was != now
    assert was.partition("?")[0] == now.partition("?")[0]
    assert (await one.client.get(now)).status_code == 200
    assert len(upstream.images) == 1


async def test_replays_take_nothing_from_a_budget(upstream: Upstream, tmp_path: Path) -> None:
    async with budgeted(upstream, tmp_path, DAY) as here:
        for _ in range(3):
            assert (await ask(here, KEYED)).status_code == 200
        used, held, unknown = await standing(here)
        assert (held, unknown) == (0, 0)
        (attempt,) = await here.rows("attempts")
        assert used == pytest.approx(attempt["cost"] / 1e9)


async def test_a_key_and_an_orphan_outlive_their_process(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        first = await ask(here, KEYED)
        upstream.plan(on.ok(delay=0.3, bytes=700_000))
        async with connected(here, prompt="an orphan"):
            await upstream.wait_for(2)
        await until_results(here, 2)
    async with gateway_here(config(upstream), tmp_path) as here:
        assert (await ask(here, KEYED)).content == first.content
        assert len((await ask(here, prompt="an orphan")).content) == 700_000
    assert len(upstream.images) == 2


async def test_where_the_store_of_media_fails_the_picture_is_delivered_and_its_key_says_so(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    (tmp_path / "no folder").write_text("a file")
    place = f'storage: {{media: "file:{tmp_path}/no folder/media"}}\n'
    async with gateway_here(place + config(upstream), tmp_path) as here:
        assert (await ask(here, KEYED)).status_code == 200
        gone = await ask(here, KEYED)
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "result_expired")
    assert len(upstream.images) == 1


async def test_while_the_ledger_is_away_a_key_buys_nothing(one: Here, upstream: Upstream) -> None:
    with locked(one.database):
        refused = await ask(one, KEYED)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert refused.headers["x-should-retry"] == "true"
    assert upstream.images == []
    assert (await ask(one, KEYED)).status_code == 200


async def test_a_call_without_a_key_leaves_no_row(one: Here) -> None:
    assert (await ask(one)).status_code == 200
    assert await one.rows("results") == []
