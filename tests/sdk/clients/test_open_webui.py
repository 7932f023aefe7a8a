"""Open WebUI's wire forms against a live gateway with the sandbox."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from tests.gateway_process import Gateway
from tests.sdk.clients.wire_forms import OPEN_WEBUI
from tests.servers import ROOT


@pytest.mark.parametrize("name", OPEN_WEBUI)
async def test_a_form_of_open_webui_is_served(name: str, gateway: Gateway, picture: bytes) -> None:
    form = OPEN_WEBUI[name]
    body = form.body(picture)
    headers = {"Authorization": f"Bearer {gateway.key}", **dict(form.headers)}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        kind = {"json": body} if isinstance(body, dict) else {"data": body}
        async with session.post(gateway.api + form.path, headers=headers, **kind) as answer:
            said = await answer.json(content_type=None)
            assert answer.status == 200, said
    found = [base64.b64decode(item["b64_json"]) for item in said["data"]]
    assert len(found) == form.pictures
    assert all(content.startswith(b"\x89PNG") for content in found)


async def test_open_webui_shows_the_reason_of_a_refusal(gateway: Gateway) -> None:
    """It shows the HTTP reason phrase alone, so that must not be empty."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        async with session.post(
            gateway.api + "/images/generations",
            headers={"Authorization": "Bearer wrong"},
            json={"model": "gpt-image-2", "prompt": "a kite", "n": 1},
        ) as answer:
            assert (answer.status, answer.reason) == (401, "Unauthorized")


def test_every_form_is_documented() -> None:
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    assert [name for name in OPEN_WEBUI if f"* {name}" not in text] == []
