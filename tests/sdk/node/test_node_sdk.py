"""The official Node SDK (npm ``openai``) against a live gateway; the tests themselves are in images.mjs.

The npm package ships no tests of its own, so these nine cover what the Python SDK's suite covers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import NOT_TESTED
from tests.environments import locked_node_environment, node
from tests.gateway_process import Gateway, clean_environment
from tests.servers import NotObtainable

pytestmark = [pytest.mark.node, pytest.mark.timeout(240), pytest.mark.xdist_group("node-sdk")]

HERE = Path(__file__).parent
TESTS = (
    "generate", "headers", "edit_one_file", "edit_several_files_with_a_mask", "edit_in_json", "streams",
    "models", "errors", "azure_and_lumenfall_paths",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(
    gateway: Gateway, picture: bytes, mask: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str | None]:
    """Name of each test that ran → its error, or None."""
    try:
        binary, _ = node()
        packages = locked_node_environment("node-sdk", HERE)
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}the Node SDK: {missing}")
    folder = tmp_path_factory.mktemp("node-sdk")
    shutil.copy(HERE / "images.mjs", folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    for name, content in (("picture.png", picture), ("mask.png", mask)):
        (folder / name).write_bytes(content)
    told = {"BASE_URL": gateway.base_url, "KEY": gateway.key, "PICTURE": "picture.png", "MASK": "mask.png"}
    done = subprocess.run(
        [binary, "images.mjs"], cwd=folder, env=clean_environment(folder, told),
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["name"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", TESTS)
def test_with_the_node_sdk(outcomes: Mapping[str, str | None], name: str) -> None:
    assert outcomes[name] is None, outcomes[name]


def test_every_test_of_the_script_is_reported(outcomes: Mapping[str, str | None]) -> None:
    assert tuple(outcomes) == TESTS
