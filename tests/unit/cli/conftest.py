from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.keys import keys
from gateway.cli.usage import usage

CONFIG = """
providers:
  sandbox: {type: sandbox, latency: 0}
organization:
  timezone: Europe/Vienna
  projects:
    - name: growth
      id: proj_growth
    - name: art
"""


Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose data folder is ``tmp_path/data``."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(config: Path) -> Run:
    """``run("keys", "list")``: a command on that configuration, in this process, its output kept apart."""

    def command(*words: str, config: Path | None = config, input: str | None = None) -> Result:
        group = {"keys": keys, "usage": usage}[words[0]]
        chosen = [] if config is None else ["--config", str(config)]
        return CliRunner().invoke(group, [*words[1:], *chosen], input=input)

    return command


def parsed(result: Result) -> dict[str, Any]:
    """What a ``--json`` command printed; stdout holds nothing else."""
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found
