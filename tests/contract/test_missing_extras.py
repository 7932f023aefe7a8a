"""An account whose optional package is not installed: the gateway starts without it and says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.contract.gateway_here import gateway_here

CONFIG = """
providers:
  aws: {type: bedrock, region: us-west-2}
  cloud: {type: vertex, project: p}
  s: {type: sandbox, latency: 0}
models:
  gpt-image-2: {targets: [{provider: s}]}
  core: {targets: [{provider: aws, model: "stability.stable-image-core-v1:1"}]}
  nano: {targets: [{provider: cloud, model: gemini-3-pro-image}]}
"""


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [("botocore", "core", "bedrock"), ("google.auth", "nano", "vertex")],
)
async def test_the_gateway_serves_what_it_can_and_names_the_extra_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, model: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    async with gateway_here(CONFIG, tmp_path) as here:
        assert (await here.generate()).status_code == 200
        refused = await here.generate(model=model, size="auto", quality="auto")
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (400, "model_not_configured")
        assert f"pip install 'imagegate[{extra}]'" in error["message"]
