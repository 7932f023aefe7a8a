"""ruff and mypy are part of the suite, so that there is one command and one closing line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy strict": ["mypy"],
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHECKS)
def test_the_sources_pass(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *CHECKS[name]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{name}:\n{done.stdout[-5000:]}{done.stderr[-2000:]}"
