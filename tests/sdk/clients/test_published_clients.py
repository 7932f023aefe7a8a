"""Published clients, each in an environment of its own, against a live gateway with the sandbox."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import NOT_TESTED
from tests.environments import node, node_environment, python_environment
from tests.gateway_process import Gateway, clean_environment
from tests.sdk.clients.published import CELLS, PUBLISHED, Client, table
from tests.servers import ROOT, NotObtainable

HERE = Path(__file__).parent


@cache
def install(client: Client, folder: Path) -> list[str]:
    """The command that runs the client's script."""
    if client.registry == "PyPI":
        python = python_environment(client.environment, *client.requirements)
        return [str(python), "-I", str(HERE / client.script)]
    packages = node_environment(client.environment, *client.requirements)
    folder.mkdir(parents=True)
    shutil.copy(HERE / client.script, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return [node()[0], str(folder / client.script)]


@pytest.mark.clients
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("clients")
@pytest.mark.parametrize("client", PUBLISHED, ids=lambda client: client.id)
def test_a_published_client_works(client: Client, gateway: Gateway, picture: bytes, tmp_path: Path) -> None:
    try:
        command = install(client, tmp_path / "script")
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{client.name} ({client.versions}): {missing}")
    (tmp_path / "picture.png").write_bytes(picture)
    told = {"BASE_URL": gateway.base_url, "KEY": gateway.key, "PICTURE": str(tmp_path / "picture.png")}
    done = subprocess.run(
        [*command, client.mode], cwd=tmp_path, env=clean_environment(tmp_path, told), capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"cell"')]
    outcome = {line["cell"]: line["error"] for line in lines}
    wanted = [cell for cell in CELLS if cell not in dict(client.cannot)]
    assert {cell: outcome.get(cell, "did not run") for cell in wanted} == dict.fromkeys(wanted), done.stderr[
        -3000:
    ]


def test_the_documented_table_is_what_the_tests_cover() -> None:
    lines = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8").splitlines()
    wanted = table()
    assert wanted[0] in lines, "docs/clients.md needs:\n" + "\n".join(wanted)
    start = lines.index(wanted[0])
    assert lines[start : start + len(wanted)] == wanted
    assert not lines[start + len(wanted)].startswith("|")
