"""A clean clone in a new folder, an empty environment, and the two commands of the README."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.architecture.sources import project_files
from tests.conftest import NOT_TESTED
from tests.environments import CACHE, unreachable
from tests.fresh.user import DidNotStart, Run, draw
from tests.servers import ROOT

pytestmark = [pytest.mark.fresh, pytest.mark.xdist_group("fresh"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``git clone`` would give; with a space in its path, as paths have."""
    folder = tmp_path_factory.mktemp("clone") / "image gate"
    for source in project_files():
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return folder


def environment() -> dict[str, str]:
    """PATH and the package caches; all else of the tester's environment is left out."""
    kept = {
        name: os.environ[name] for name in ("HOME", "UV_CACHE_DIR", "UV_DEFAULT_INDEX") if name in os.environ
    }
    return {"PATH": os.environ["PATH"], **(kept or {"UV_CACHE_DIR": str(CACHE / "uv-cache")})}


def run_script(
    script: Path, *arguments: str, cwd: Path, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments], env=environment(), cwd=cwd, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip


def made_ready(clone: Path, tmp_path: Path) -> None:
    """The environment that the first start makes; here by whichever test comes first."""
    if not (clone / ".venv" / ".ready-serve").exists():
        done = run_script(clone / "scripts" / "serve", "--help", cwd=tmp_path)
        if done.returncode and unreachable(done.stdout + done.stderr):
            pytest.skip(f"{NOT_TESTED}scripts/serve in a clean clone: PyPI is out of reach")
        assert done.returncode == 0, done.stderr


def test_a_clone_serves_and_keeps_everything(clone: Path, tmp_path: Path) -> None:
    """Called from elsewhere, the data still lies in the clone."""
    command = [str(clone / "scripts" / "serve"), "--port", "0"]
    try:
        with Run(command, cwd=tmp_path, env=environment()) as gateway:
            key = gateway.first_key(clone / "data")
            assert draw(gateway.base_url, key).startswith(b"\x89PNG\r\n")
    except DidNotStart as failed:
        if unreachable(str(failed)):
            pytest.skip(f"{NOT_TESTED}scripts/serve in a clean clone: PyPI is out of reach")
        raise
    with Run(command, cwd=tmp_path, env=environment()) as gateway:
        assert draw(gateway.base_url, key).startswith(b"\x89PNG\r\n")
        assert "making .venv" not in gateway.log_text()

    stamp = clone / ".venv" / ".ready-serve"
    made_at = stamp.stat().st_mtime_ns
    done = run_script(clone / "scripts" / "serve", "--help", cwd=tmp_path)
    assert (done.stderr, stamp.stat().st_mtime_ns) == ("", made_at), "nothing is installed again"
    assert "--config" in done.stdout


def test_the_readme_s_commands_make_pictures_show_them_and_fetch_one_that_was_left(
    clone: Path, tmp_path: Path
) -> None:
    """Pasted as they stand, in the clone; only the port is another."""
    made_ready(clone, tmp_path)
    shutil.rmtree(clone / "data", ignore_errors=True)
    readme = (clone / "README.md").read_text(encoding="utf-8")
    pasted = [block for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) if "curl" in block]
    assert len(pasted) == 3
    with Run([str(clone / "scripts" / "serve"), "--port", "0"], cwd=tmp_path, env=environment()) as gateway:
        script = "\n".join(pasted).replace("http://127.0.0.1:8080", gateway.base_url)
        done = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=clone, env={"PATH": os.environ["PATH"]}, capture_output=True,
            text=True, timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr + gateway.log_text()
    for name in ("kite.png", "night.png"):
        with Image.open(clone / name) as picture:
            picture.load()
            assert picture.format == "PNG"
        assert name in done.stdout
        (clone / name).unlink()
    row = next(line for line in done.stdout.splitlines() if "sandbox" in line)
    assert re.search(r"\b2\b", row), done.stdout
    assert "gone too early" in done.stdout
    assert "x-imagegate-replayed: true" in done.stdout
    assert json.loads((clone / "lighthouse.json").read_bytes())["data"][0]["b64_json"]
    for name in ("lighthouse.json", "headers.txt"):
        (clone / name).unlink()


def test_paths_given_to_serve_are_relative_to_the_caller(clone: Path, tmp_path: Path) -> None:
    made_ready(clone, tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "providers:\n  sandbox: {type: sandbox, latency: 0}\n", encoding="utf-8"
    )
    command = [str(clone / "scripts" / "serve"), "--config", "mine.yaml", "--data", "here", "--port", "0"]
    with Run(command, cwd=tmp_path, env=environment()) as gateway:
        key = gateway.first_key(tmp_path / "here")
        assert draw(gateway.base_url, key).startswith(b"\x89PNG\r\n")


def test_a_moved_clone_makes_its_environment_anew(clone: Path, tmp_path: Path) -> None:
    """Scripts and editable installs hold absolute paths; serving another folder's code would be worse."""
    made_ready(clone, tmp_path)
    moved = clone.rename(tmp_path / "moved")
    done = run_script(moved / "scripts" / "serve", "--help", cwd=tmp_path)
    moved.rename(clone)
    assert "made for another folder" in done.stderr
    assert done.returncode == 0, done.stderr


def test_a_machine_without_python_is_told_what_to_install(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cmp", "dirname", "head", "mkdir", "printf", "rm", "sh", "uname"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    shutil.copytree(clone, tmp_path / "new", ignore=shutil.ignore_patterns(".venv", ".cache", "data"))
    script = str(tmp_path / "new" / "scripts" / "serve")
    done = subprocess.run(
        [script], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3" in done.stderr
