"""What a caller is told of how it was served: headers, body, events and the ledger's row agree."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.contract.gateway_here import Here, gateway_here
from tests.contract.upstreams_here import Start, config
from tests.property.test_served import dictionary, listing
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

BODY = {"x-imagegate-report": "body"}
ONE_A_CALL = '\ncatalog: [{"id": "gpt-image-2", "max_n": 1}]'


@pytest_asyncio.fixture
async def here(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as running:
        yield running


async def asked(here: Here, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    body = {"model": "gpt-image-2", "prompt": "a red kite", **fields}
    response = await here.client.post("/v1/images/generations", json=body, headers=headers or {})
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize(
    ("fields", "sent", "rule"),
    [
        ({"size": "1536x864"}, "1536x864", "exact"),
        ({"size": "16:9"}, "1280x720", "filled"),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, "3840x2160", "clamped"),
        ({"size": "1920x1080", "quality": "hd"}, "1920x1088", "step"),
        ({"size": "512x512", "output_format": "gif"}, "816x816", "raised"),
        ({"size": "1200x628", "fit": "cover"}, "1200x624", "step"),
    ],
)
async def test_headers_body_and_row_agree(
    here: Here, upstream: Upstream, fields: dict[str, Any], sent: str, rule: str
) -> None:
    response = await asked(here, BODY, **fields)
    assert upstream.images[0].fields["size"] == sent
    document = response.json()
    report = document["imagegate"]
    assert list(document)[-1] == "imagegate"
    told = dictionary(response.headers["x-imagegate-size"])
    assert report["size"] == {"requested": None, **told}
    assert (told["sent"], told["rule"]) == (sent, rule)
    assert told["received"] == document["size"]
    assert report["adjustments"] == listing(response.headers.get("x-imagegate-adjustments", ""))
    assert report["cost_usd"] == response.headers["x-imagegate-cost-usd"]
    assert report["request_id"] == response.headers["x-request-id"]
    assert (report["provider"], report["model"]) == ("up1", "gpt-image-2")
    (row,), (attempt,) = await here.rows("requests"), await here.rows("attempts")
    kept = {name: row[f"size_{name}"] for name in ("requested", "sent", "received", "rule")}
    assert kept == report["size"]
    assert json.loads(row["adjustments"] or "[]") == report["adjustments"]
    assert attempt["size"] == sent


async def test_nothing_is_added_to_a_body_that_was_not_asked_for(here: Here) -> None:
    assert "imagegate" not in (await asked(here)).json()


async def test_what_was_served_as_asked_has_no_adjustments(here: Here) -> None:
    response = await asked(here, size="1024x1024", quality="low")
    assert "x-imagegate-adjustments" not in response.headers
    (row,) = await here.rows("requests")
    assert row["adjustments"] is None


async def test_each_target_is_told_with_the_size_that_it_was_sent(
    upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    """The second target makes other sizes: what is told is its own."""
    second = await start_upstream()
    for number in (1, 2):
        (tmp_path / f"key{number}").write_text(upstream.key)
    both = config(upstream, second).replace(
        '{"provider": "up2"}', '{"provider": "up2", "model": "gpt-image-1.5"}'
    )
    async with gateway_here(both, tmp_path) as here:
        upstream.plan(on.error("rate_limit"))
        response = await asked(here, size="1920x1080")
        assert dictionary(response.headers["x-imagegate-size"]) == {
            "requested": "1920x1080",
            "sent": "1536x1024",
            "received": "1536x1024",
            "rule": "nearest",
        }
        assert [attempt["size"] for attempt in await here.rows("attempts")] == ["1920x1088", "1536x1024"]


async def test_a_stream_tells_what_it_can_first_and_the_rest_in_its_events(here: Here) -> None:
    response = await asked(here, BODY, size="16:9", stream=True)
    told = dictionary(response.headers["x-imagegate-size"])
    assert told == {"requested": "16:9", "sent": "1280x720", "rule": "filled"}
    (event,) = [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: ")]
    assert event["imagegate"]["size"] == {**told, "received": "1280x720"}
    assert event["size"] == "1280x720"
    (row,) = await here.rows("requests")
    assert (row["size_received"], row["size_rule"]) == ("1280x720", "filled")


async def test_missing_pictures_are_told_in_header_and_row(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream) + ONE_A_CALL, tmp_path) as here:
        upstream.plan(on.ok(), on.error("server_error"))
        response = await asked(here, BODY, n=2, size="1024x1024")
        assert response.headers["x-imagegate-partial"] == "1/2"
        document = response.json()
        assert len(document["data"]) == 1
        assert {"field": "n", "from": "2", "to": "1+1", "how": "emulated"} in document["imagegate"][
            "adjustments"
        ]
        assert document["imagegate"]["cost_usd"] == response.headers["x-imagegate-cost-usd"]


async def test_what_nobody_can_serve_is_refused_before_anything_is_held(
    here: Here, upstream: Upstream
) -> None:
    response = await here.client.post(
        "/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": "x", "size": "1920x1080"},
        headers={"x-imagegate-size-mode": "strict"},
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "size")
    assert list(upstream.images) == []
    assert await here.rows("requests") == []
