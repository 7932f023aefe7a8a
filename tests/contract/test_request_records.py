"""``/v1/images/requests``: a key's own calls, told whole, page by page; and calls that are answered later."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.gateway_here import KEY, Here
from tests.contract.leaving import ask
from tests.faults.budgeted import budgeted
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

LATER = {"prefer": "respond-async"}
OTHER_KEY = "another key of the same project"
_KEYS = ", ".join(
    f'{{name: {name}, sha256: "{hashlib.sha256(key.encode()).hexdigest()}"}}'
    for name, key in (("suite", KEY), ("other", OTHER_KEY))
)


@pytest.fixture
def also() -> str:
    return f"\norganization: {{projects: [{{name: tests, keys: [{_KEYS}]}}]}}\n"


async def records(here: Here, **query: Any) -> list[dict[str, Any]]:
    answer = await here.client.get("/v1/images/requests", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def until_ended(here: Here, request_id: str, seconds: float = 20.0) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        answer = await here.client.get(f"/v1/images/requests/{request_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["status"] != "running":
            return found
        assert answer.headers["retry-after"]
        assert loop.time() < until
        await asyncio.sleep(0.05)


async def test_a_record_tells_how_a_call_was_served_and_what_it_cost(one: Here) -> None:
    answer = await ask(one, {"x-client-request-id": "job 7"}, size="16:9", output_format="webp")
    await one.rows("requests")
    (found,) = await records(one)
    assert found["id"] == answer.headers["x-request-id"]
    assert (found["object"], found["status"], found["http_status"]) == ("image.request", "succeeded", 200)
    assert (found["model"], found["n"], found["images"], found["quality"]) == ("gpt-image-2", 1, 1, "low")
    assert found["client_request_id"] == "job 7"
    assert found["size"]["requested"] == "16:9"
    assert found["size"]["sent"] == found["size"]["received"]
    assert found["size"]["rule"] in answer.headers["x-imagegate-size"]
    assert found["cost_usd"] == answer.headers["x-imagegate-cost-usd"]
    (attempt,) = found["attempts"]
    assert (attempt["provider"], attempt["model"], attempt["state"]) == ("up1", "gpt-image-2", "settled")
    assert attempt["cost_usd"] == found["cost_usd"]
    assert found["timings"]["total_ms"] >= attempt["ms"] >= 0
    assert found["result"] is None
    assert "a red kite" not in json.dumps(found)


async def test_pages_are_openais(one: Here) -> None:
    ids = [(await ask(one)).headers["x-request-id"] for _ in range(5)]
    await one.rows("requests")
    newest_first = ids[::-1]
    page = (await one.client.get("/v1/images/requests", params={"limit": 2})).json()
    assert page["object"] == "list"
    assert [each["id"] for each in page["data"]] == newest_first[:2]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (newest_first[0], newest_first[1], True)
    rest = (await one.client.get("/v1/images/requests", params={"after": page["last_id"]})).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (newest_first[2:], False)
    oldest = await records(one, order="asc", limit=3)
    assert [each["id"] for each in oldest] == ids[:3]
    assert await records(one, order="asc", after=ids[-1]) == []


async def test_filters_narrow_the_list(one: Here, upstream: Upstream) -> None:
    first = await ask(one, {"x-client-request-id": "a", "idempotency-key": "k"})
    upstream.plan(on.error("moderation"))
    second = await ask(one, {"x-client-request-id": "b"})
    await one.rows("requests")

    async def ids(**query: Any) -> list[str]:
        return [each["id"] for each in await records(one, **query)]

    one_id, other_id = first.headers["x-request-id"], second.headers["x-request-id"]
    assert await ids(client_request_id="a") == [one_id]
    assert await ids(idempotency_key="k") == [one_id]
    assert await ids(status="succeeded") == [one_id]
    assert await ids(status="failed") == [other_id]
    assert await ids(status="running") == await ids(status="unknown") == []
    assert await ids(model="gpt-image-2") == [other_id, one_id]
    assert await ids(model="other") == []
    assert await ids(since="2026-01-01T00:00:00Z") == [other_id, one_id]
    assert await ids(since="2999-01-01") == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("status=good", "status"),
        ("since=yesterday", "since"),
        ("after=req_none", "after"),
        ("idempotency-key=k", "idempotency-key"),
        ("model=a&model=b", "model"),
    ],
)
async def test_a_query_that_is_not_understood_is_refused(one: Here, query: str, param: str) -> None:
    answer = await one.client.get(f"/v1/images/requests?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_call_whose_process_died_after_the_provider_had_answered_runs_no_more(one: Here) -> None:
    answer = await ask(one, {"idempotency-key": "k"})
    assert answer.status_code == 200
    (row,) = await one.rows("requests")
    with closing(sqlite3.connect(one.database)) as link, link:
        link.execute("UPDATE requests SET ended_at = NULL, status = NULL")
        link.execute("UPDATE results SET state = 'lost'")
    (record,) = await records(one, status="unknown")
    assert (record["id"], record["status"]) == (row["request_id"], "unknown")
    assert record["error"]["code"] == "result_unknown"
    assert await records(one, status="running") == []


async def test_nothing_is_told_of_another_keys_calls(one: Here, upstream: Upstream) -> None:
    keyed = {"idempotency-key": "the same"}
    mine = await ask(one, keyed)
    await one.rows("requests")
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{one.port}", headers={"authorization": f"Bearer {OTHER_KEY}"}, timeout=10
    ) as other:
        listed = (await other.get("/v1/images/requests")).json()
        assert (listed["data"], listed["has_more"], listed["first_id"]) == ([], False, None)
        after = await other.get(f"/v1/images/requests?after={mine.headers['x-request-id']}")
        assert (after.status_code, after.json()["error"]["param"]) == (400, "after")
        by_key = await other.get("/v1/images/requests?idempotency_key=the%20same")
        assert by_key.json()["data"] == []
        assert (await other.get(f"/v1/images/requests/{mine.headers['x-request-id']}")).status_code == 404
        theirs = await other.post(
            "/v1/images/generations", json={"model": "gpt-image-2", "prompt": "another"}, headers=keyed
        )
        assert (theirs.status_code, "x-imagegate-replayed" in theirs.headers) == (200, False)
    nobody = await one.client.get("/v1/images/requests", headers={"authorization": "Bearer wrong"})
    assert nobody.status_code == 401
    assert len(upstream.images) == 2


async def test_a_call_may_be_answered_later(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.4, bytes=600_000))
    accepted = await ask(one, LATER)
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    assert int(accepted.headers["retry-after"]) > 0
    record = accepted.json()
    assert (record["status"], record["result"]) == ("running", None)
    assert accepted.headers["location"] == f"/v1/images/requests/{record['id']}"
    assert record["id"] == accepted.headers["x-request-id"]
    ended = await until_ended(one, record["id"])
    assert (ended["status"], ended["images"], ended["client_gone"]) == ("succeeded", 1, False)
    assert ended["result"]["bytes"] == 600_000
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.get(ended["result"]["url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["data"][0]["b64_json"]
    assert one.gateway.room.in_memory == 0


async def test_a_later_answer_may_be_a_refusal(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.error("moderation", delay=0.2))
    accepted = await ask(one, LATER)
    ended = await until_ended(one, accepted.json()["id"])
    assert (ended["status"], ended["http_status"]) == ("failed", 400)
    assert ended["error"]["code"] == "moderation_blocked"
    assert ended["error"]["message"]


async def test_what_cannot_be_sent_is_refused_at_once_and_not_later(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path, {"spend_usd": "0.0001", "per": "total"}) as here:
        refused = await ask(here, LATER)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        assert await here.rows("results") == []


async def test_a_later_call_under_a_key_is_made_once(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.ok(delay=0.3))
    both = {**LATER, "idempotency-key": "k"}
    first, again = await ask(one, both), await ask(one, both)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["x-imagegate-replayed"] == "true"
    waited = await ask(one, {"idempotency-key": "k"})
    assert (waited.status_code, waited.headers["x-imagegate-replayed"]) == (200, "true")
    assert len(upstream.images) == 1


async def test_a_later_call_keeps_its_files_to_its_end(one: Here, upstream: Upstream) -> None:
    upstream.plan(on.error("server_error", delay=0.2), on.ok())
    accepted = await one.client.post(
        "/v1/images/edits",
        data={"model": "gpt-image-2", "prompt": "x"},
        files={"image": ("a.png", (Path(__file__).parent / "dot.png").read_bytes(), "image/png")},
        headers=LATER,
    )
    assert accepted.status_code == 202, accepted.text
    ended = await until_ended(one, accepted.json()["id"])
    assert (ended["status"], len(ended["attempts"])) == ("succeeded", 2)
    assert all(call.files for call in upstream.images)


async def test_a_stream_cannot_be_answered_later(one: Here, upstream: Upstream) -> None:
    answer = await ask(one, LATER, stream=True)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")
    assert upstream.images == []
