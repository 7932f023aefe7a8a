"""What the Dockerfile does, done without Docker: the same script and commands, another user, no writing.

What only an engine can show (layers, the base image, the file system mounted read-only) is not shown here.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from config.loader import load
from tests import environments
from tests.architecture.sources import project_files
from tests.conftest import NOT_TESTED
from tests.environments import CACHE, unreachable
from tests.fresh.user import draw
from tests.gateway_process import answers
from tests.servers import ROOT, NotObtainable, stop

pytestmark = [pytest.mark.fresh, pytest.mark.xdist_group("fresh"), pytest.mark.timeout(400)]
USER = 10001


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, argument) of each step, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    steps = dockerfile()
    begin = max(index for index, (word, _) in enumerate(steps) if word == "FROM")
    return steps[begin:]


def only(word: str) -> str:
    """The argument of the one such instruction in the last stage."""
    (found,) = (argument for name, argument in last_stage() if name == word)
    return found


@dataclass(frozen=True, slots=True)
class Image:
    """A folder in place of the image, and who runs in it."""

    environment: Path
    data: Path
    tmp: Path
    owner: dict[str, object]

    @property
    def variables(self) -> dict[str, str]:
        """As ENV of the Dockerfile says them, with our places in place of the image's."""
        said = dict(re.findall(r"(\w+)=(\S+)", only("ENV")))
        return {
            **{name: value.replace("/opt/imagegate", str(self.environment)) for name, value in said.items()},
            "HOME": str(self.data),
            "TMPDIR": str(self.tmp),
        }

    def run(self, *command: str, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.environment / "bin" / command[0]), *command[1:]], cwd=self.data, env=self.variables,
            capture_output=True, text=True, timeout=60, check=False, **self.owner, **more,
        )  # type: ignore[call-overload, no-any-return]  # fmt: skip


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Made by the script that the Dockerfile runs, from what .dockerignore lets into the build."""
    # A folder that another user can reach, which pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="ig-image-") as name:
        home = Path(name)
        home.chmod(0o755)
        source = home / "src"
        for path in copied_files():
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        try:
            variables = {"UV": environments.uv(), "PYTHON": _python(), "EXTRAS": "postgres storage"}
            if "HOME" not in os.environ:
                variables["UV_CACHE_DIR"] = str(CACHE / "uv-cache")
            for step in ("dependencies", "package"):
                environments.run(
                    [str(source / "scripts" / "image-environment"), step, str(home / "imagegate")],
                    cwd=home, env=variables,
                )  # fmt: skip
        except NotObtainable as missing:
            pytest.skip(f"{NOT_TESTED}the image's environment: {missing}")
        except AssertionError as failed:
            if unreachable(str(failed)):
                pytest.skip(f"{NOT_TESTED}the image's environment: a package registry is out of reach")
            raise
        places = [home / "data", home / "tmp"]
        for place in places:
            place.mkdir(mode=0o700)
        owner: dict[str, object] = {}
        if os.geteuid() == 0:
            owner = {"user": USER, "group": USER, "extra_groups": []}
            for place in places:
                os.chown(place, USER, USER)
        _lock(home / "imagegate")
        yield Image(home / "imagegate", *places, owner)
        _unlock(home / "imagegate")


def _python() -> str:
    """One that the other user can run: root's own may lie in root's home."""
    found = [
        sys.executable,
        *filter(None, map(shutil.which, ("python3", "python3.13", "python3.12", "python3.11"))),
    ]
    for binary in map(os.path.realpath, [*found, "/usr/bin/python3"]):
        is_open = os.geteuid() != 0 or all(
            folder.stat().st_mode & stat.S_IXOTH for folder in Path(binary).parents
        )
        command = [binary, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if (
            is_open
            and os.path.exists(binary)
            and subprocess.run(command, timeout=30, check=False).returncode == 0
        ):
            return binary
    raise NotObtainable("run by root, it needs a Python 3.11+ that other users can run")


def _lock(folder: Path) -> None:
    """Take everybody's right to write, as a file system that is mounted read-only does."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def _unlock(folder: Path) -> None:
    """As far as it takes to remove it."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)


def copied_files() -> list[Path]:
    """What COPY takes of what .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines, "all but what is named stays outside"
    let_in = [line[1:] for line in lines if line.startswith("!")]
    wanted = [
        source
        for word, argument in dockerfile()
        if word == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    ]
    assert set(wanted) <= set(let_in), "COPY of what .dockerignore keeps out"
    patterns = [pattern for one in wanted for pattern in (one, f"{one}/*")]
    return [
        path
        for path in project_files()
        if any(fnmatch.fnmatch(str(path.relative_to(ROOT)), pattern) for pattern in patterns)
    ]


def test_it_serves_as_another_user_from_a_tree_that_nobody_can_write(image: Image) -> None:
    """ENTRYPOINT and CMD as they stand, only on a free port; then HEALTHCHECK's own command."""
    entry, words = json.loads(only("ENTRYPOINT")), json.loads(only("CMD"))
    words = [
        {"0.0.0.0": "127.0.0.1", "8080": "0", "/var/lib/imagegate": str(image.data)}.get(w, w) for w in words
    ]
    before = {path: path.stat().st_mtime_ns for path in image.environment.rglob("*") if path.is_file()}
    log = image.tmp / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(image.environment / "bin" / entry[0]), *words], cwd=image.data, env=image.variables,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, **image.owner,
        )  # type: ignore[call-overload]  # fmt: skip
    try:
        address = _address(process, log)
        healthy = _health_check(image, address)
        assert healthy.returncode == 0, healthy.stderr
        key = (image.data / "first-key").read_text(encoding="utf-8").strip()
        assert draw(address, key).startswith(b"\x89PNG\r\n")
    finally:
        status = stop(process, seconds=15)
    assert status == 0, log.read_text(encoding="utf-8")[-2000:]
    assert _health_check(image, address).returncode != 0, "nobody listens and it is healthy"
    after = {path: path.stat().st_mtime_ns for path in image.environment.rglob("*") if path.is_file()}
    assert after == before
    assert {path.name for path in image.tmp.iterdir()} == {"log"}, "something was left in /tmp"


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        found = re.search(r"listening on (http://[\w.:]+)", log.read_text(encoding="utf-8"))
        if found and answers(found[1]):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


def _health_check(image: Image, address: str) -> subprocess.CompletedProcess[str]:
    command = json.loads(only("HEALTHCHECK").split("CMD", 1)[1])
    return image.run(*(word.replace("http://127.0.0.1:8080", address) for word in command))


def test_the_environment_has_what_the_lock_says_and_the_list_of_parts_says_it_too(image: Image) -> None:
    site = next((image.environment / "lib").glob("python3*/site-packages"))
    installed = {
        re.sub(r"[-_.]+", "-", part.name).lower(): part.version
        for part in importlib.metadata.distributions(path=[str(site)])
    }
    lock = _locked_versions()
    assert {
        name: version for name, version in installed.items() if name != "imagegate"
    }.items() <= lock.items()
    parts = json.loads((image.environment / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (parts["bomFormat"], parts["metadata"]["component"]["name"]) == ("CycloneDX", "imagegate")
    listed = {part["name"]: part["version"] for part in parts["components"]}
    assert {
        name: version for name, version in installed.items() if name != "imagegate"
    }.items() <= listed.items()
    assert {"asyncpg", "obstore", "litestar"} <= installed.keys()


def _locked_versions() -> dict[str, str]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return {package["name"]: package["version"] for package in lock["package"]}


def test_nothing_in_it_can_install_or_build(image: Image) -> None:
    present = {path.name for path in (image.environment / "bin").iterdir()}
    assert not {"pip", "pip3", "uv", "hatchling", "hatch", "gcc", "cc"} & present
    assert image.run("python", "-I", "-c", "import hatchling").returncode != 0
    assert image.run("python", "-I", "-c", "import pip").returncode != 0
    assert list(image.environment.rglob("*.pth")) == [], "code that runs at every start of Python"


def test_it_was_compiled_when_it_was_made(image: Image) -> None:
    """A read-only tree cannot keep what Python would compile at each start."""
    site = next((image.environment / "lib").glob("python3*/site-packages"))
    for package in ("gateway", "config", "providers", "litestar"):
        sources = {path.stem for path in (site / package).glob("*.py")}
        compiled = {path.name.split(".")[0] for path in (site / package / "__pycache__").glob("*.pyc")}
        assert sources <= compiled, package


def test_migrate_makes_the_database_ready_and_may_run_again(image: Image) -> None:
    data = image.data / "migrated"
    first = image.run("imagegate", "migrate", "--data", str(data))
    assert "was none and is" in first.stdout, first.stderr
    again = image.run("imagegate", "migrate", "--data", str(data))
    assert re.search(r"is ready: its schema is \d+", again.stdout), again.stderr


def test_the_dockerfile_ends_as_a_user_without_rights_on_what_it_serves() -> None:
    steps = dockerfile()
    assert [argument for word, argument in steps if word == "FROM"] == ["${BASE} AS build", "${BASE}"]
    uid, gid = only("USER").split(":")
    assert int(uid) == int(gid) == USER
    copies = [argument for word, argument in last_stage() if word == "COPY"]
    assert copies == ["--from=build /opt/imagegate /opt/imagegate"], "root's own, so nobody else's to write"
    user_at = [word for word, _ in last_stage()].index("USER")
    assert not [word for word, _ in last_stage()[user_at:] if word in ("RUN", "COPY", "ADD")]
    assert not [word for word, _ in steps if word == "ADD"]


def test_everything_that_the_build_fetches_is_held_to_a_hash() -> None:
    fetching = [argument for word, argument in dockerfile() if word == "RUN" and "install " in argument]
    pip = next(argument for argument in fetching if "pip install" in argument)
    assert "--require-hashes" in pip
    version = re.search(r"uv==([\d.]+)", pip)
    environment = (ROOT / "scripts" / "environment.sh").read_text(encoding="utf-8")
    assert version is not None
    assert f"UV_VERSION={version[1]}\n" in environment, "two versions of uv"
    assert not [
        argument for word, argument in dockerfile() if word == "RUN" and re.search("curl|wget|apt", argument)
    ]
    script = (ROOT / "scripts" / "image-environment").read_text(encoding="utf-8")
    assert "--require-hashes --no-deps --only-binary :all:" in script


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_base_s_python_finds_a_wheel_of_every_dependency(machine: str) -> None:
    """The install takes no source archive, so one missing wheel would end the build."""
    (base,) = (argument for word, argument in dockerfile() if word == "ARG" and argument.startswith("BASE="))
    release = re.match(r"BASE=python:(\d+\.\d+)-slim", base)
    assert release is not None
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    wheels = {
        (package["name"], package["version"]): [wheel["url"].rsplit("/", 1)[1] for wheel in package["wheels"]]
        for package in lock["package"]
        if "wheels" in package
    }
    platforms = [*(f"manylinux_2_{minor}_{machine}" for minor in range(5, 37)), f"manylinux2014_{machine}"]
    version = tuple(map(int, release[1].split(".")))
    supported = {*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)}
    marked = {"python_version": release[1], "python_full_version": f"{release[1]}.0", "sys_platform": "linux"}
    marked |= {"platform_machine": machine, "os_name": "posix", "platform_system": "Linux"}
    needed = [Requirement(line) for line in _requirements()]
    assert len(needed) > 30
    for each in needed:
        if each.marker is None or each.marker.evaluate(
            {**marked, "platform_python_implementation": "CPython"}
        ):
            (pinned,) = (str(part.version) for part in each.specifier)
            found = wheels[each.name, pinned]
            assert any(parse_wheel_filename(name)[3] & supported for name in found), each.name


def _requirements() -> list[str]:
    """What the image installs, as uv writes it, without the hashes."""
    extras = [word for name in ("postgres", "storage", "bedrock", "vertex") for word in ("--extra", name)]
    try:
        said = environments.run(
            [environments.uv(), "export", "--quiet", "--frozen", "--no-emit-project", "--no-header",
             "--no-annotate", "--no-hashes", "--no-dev", *extras]
        )  # fmt: skip
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    return said.splitlines()


def test_compose_runs_it_hardened_and_its_configuration_can_be_used(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    gateway = services["imagegate"]
    for service in (gateway, services["migrate"]):
        assert service["read_only"]
        assert service["user"] == f"{USER}:{USER}"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])
    assert gateway["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert not {"ports"} & (services["postgres"].keys() | services["redis"].keys())

    file = tmp_path / "imagegate.yaml"
    file.write_text(compose["configs"]["imagegate"]["content"], encoding="utf-8")
    loaded = load(
        file, environ=dict.fromkeys(gateway["environment"], "x") | {"QUOTA_URL": "redis://redis:6379/0"}
    )
    assert loaded.unset == []
    assert loaded.warnings == []
    assert gateway["environment"]["DATABASE_URL"].startswith("postgresql+asyncpg://")
    for secret in ("POSTGRES_PASSWORD", "IMAGEGATE_SECRET"):
        text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
        assert f"${{{secret}:?" in text, "no default, so that nobody runs on a known one"
    patience = loaded.settings.routing.longest_call + 15 + 5
    assert int(gateway["stop_grace_period"].removesuffix("s")) >= patience
