"""``helm test``'s own script against a gateway that runs."""

from __future__ import annotations

import subprocess
import sys

from tests.gateway_process import Gateway, clean_environment
from tests.helm.rendered import CHART


def run(gateway: Gateway, **more: str) -> subprocess.CompletedProcess[str]:
    variables = clean_environment(gateway.data, {"GATEWAY": gateway.base_url, "MODEL": "sandbox", **more})
    script = (CHART / "files" / "picture.py").read_text(encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", "-c", script],
        env=variables, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_says_that_a_running_gateway_is_well(sandbox_gateway: Gateway) -> None:
    done = run(sandbox_gateway, GATEWAY_KEY=sandbox_gateway.key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["ready", "a call without a key is refused"]
    assert "a picture of" in done.stdout


def test_without_a_key_it_draws_nothing(sandbox_gateway: Gateway) -> None:
    done = run(sandbox_gateway)
    assert done.returncode == 0, done.stderr
    assert "picture" not in done.stdout


def test_it_fails_where_the_key_is_refused(sandbox_gateway: Gateway) -> None:
    done = run(sandbox_gateway, GATEWAY_KEY="sk-ig-wrong")
    assert done.returncode == 1
    assert "401" in done.stderr
