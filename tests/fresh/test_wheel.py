"""The built wheel runs in an empty environment: what ``uvx imagegate`` gives a user."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import environments
from tests.conftest import NOT_TESTED
from tests.fresh.user import Run, draw
from tests.servers import ROOT, NotObtainable

pytestmark = [pytest.mark.fresh, pytest.mark.xdist_group("fresh"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("imagegate-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and its locked dependencies, no more."""
    folder = tmp_path_factory.mktemp("environment")
    constraints = folder / "constraints.txt"
    try:
        constraints.write_text(
            environments.run(
                [environments.uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project",
                 "--no-hashes", "--no-header", "--python", sys.executable]
            )
        )  # fmt: skip
        python = environments.make_python_environment(
            folder / "env", str(wheel), options=["--constraints", str(constraints)]
        )
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    return python.parent


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        str(path.relative_to(ROOT))
        for pattern in (
            "config/*.yaml",
            "config/*.json",
            "config/catalog/*.yaml",
            "gateway/ledger/migrations/**/*.py",
        )
        for path in ROOT.glob(pattern)
    }
    assert {"config/default.yaml", "config/schema.json", "config/catalog/openai.yaml"} <= data <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "config",
        "providers",
        "gateway",
        "imagegate",
    }
    assert not [name for name in names if name.endswith((".pth", ".pyc")) or "/tests/" in name]
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_wheel_brings_no_code_that_runs_at_every_start_of_python(installed: Path) -> None:
    """No .pth file beyond uv's own, which every uv-made environment has."""
    site = next((installed.parent / "lib").glob("python3*/site-packages"))
    assert {path.name for path in site.glob("*.pth")} <= {"_virtualenv.pth"}


def test_the_wheel_serves_from_an_empty_folder_and_keeps_everything(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "imagegate"), "serve", "--port", "0"]
    with Run(command, cwd=tmp_path) as gateway:
        key = gateway.first_key(tmp_path / "data")
        assert draw(gateway.base_url, key).startswith(b"\x89PNG\r\n")
    assert (tmp_path / "data" / "lock").read_bytes() == b"", "the control token outlived the gateway"
    with Run(command, cwd=tmp_path) as gateway:
        assert draw(gateway.base_url, key).startswith(b"\x89PNG\r\n")
        assert key not in gateway.log_text()
    usage = subprocess.run(
        [str(installed / "imagegate"), "usage"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=True, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "sandbox" in usage.stdout
