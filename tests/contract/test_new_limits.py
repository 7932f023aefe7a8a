"""A limit that appears counts what its window has seen, from the first request on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.contract.gateway_here import KEY, gateway_here
from tests.noon import ZONE
from tests.simulators.openai_upstream import Upstream


def configured(upstream: Upstream, folder: Path, quota: str, limits: str) -> str:
    (folder / "key").write_text(upstream.key)
    account = f'type: openai, base_url: "{upstream.base_url}", api_key: "file:key"'
    key = f"keys: [{{name: suite, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}]"
    return f"""
providers: {{up: {{{account}}}}}
models: {{gpt-image-2: {{targets: [{{provider: up}}]}}}}
storage: {{quota: "{quota}"}}
organization: {{timezone: {ZONE}, projects: [{{name: tests, id: proj_tests, limits: [{limits}], {key}}}]}}
"""


@pytest.mark.parametrize("quota", ["local", "redis"])
async def test_one_that_comes_with_a_restart_refuses_the_first_call_that_is_too_many(
    upstream: Upstream, tmp_path: Path, redis_server: str, quota: str
) -> None:
    url = redis_server if quota == "redis" else "local"
    before = "{spend_usd: 100, per: year}"
    async with gateway_here(configured(upstream, tmp_path, url, before), tmp_path) as here:
        assert (await here.generate()).status_code == 200
        (attempt,) = await here.rows("attempts")
    assert attempt["cost"] > 5_000_000
    after = f"{before}, {{spend_usd: 0.01, per: month}}, {{images: 1, per: day}}"
    async with gateway_here(configured(upstream, tmp_path, url, after), tmp_path) as here:
        response = await here.generate()
        assert (response.status_code, len(upstream.images)) == (429, 1), response.text
        assert response.json()["error"]["code"] == "project_spend_limit_exceeded"
        limits = (await here.client.get("/v1/usage")).json()["limits"]
        used = {(limit["measure"], limit["per"]): limit["used"] for limit in limits}
        assert used["images", "day"] == 1
        assert used["spend_usd", "month"] == used["spend_usd", "year"] != "0"
