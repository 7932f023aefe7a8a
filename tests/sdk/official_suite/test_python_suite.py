"""The Python SDK's own test suite, from its source distribution, against a live gateway.

155 tests: 100 of images, 55 of models. The 20 of variations and the 15 that delete a model are deselected by
name, because OpenAI itself answers 404 and 403 there. The other 120 must pass: neither a skip nor a test that
a new release left out counts.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests import gateway_process
from tests.conftest import NOT_TESTED
from tests.environments import python_environment, run
from tests.servers import ROOT, NotObtainable

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300), pytest.mark.xdist_group("official-suite")]

NOT_SERVED = ("create_variation", "method_delete", "raw_response_delete", "streaming_response_delete")
# Python before 3.11.4 has no filters; the archive is the one that uv.lock names, whatever extracts it.
SAFE: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
PASSING = {"test_images": 80, "test_models": 40}


def locked_sdist() -> tuple[str, str]:
    """(version, sha256) of the SDK's source distribution, as uv.lock has it."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    (package,) = (package for package in lock["package"] if package["name"] == "openai")
    return package["version"], package["sdist"]["hash"].removeprefix("sha256:")


@pytest.fixture(scope="module")
def suite() -> tuple[Path, Path]:
    """(python of its own environment, folder of the unpacked source distribution)."""
    version, sha256 = locked_sdist()

    def unpack(folder: Path) -> None:
        """pip compares the archive with uv.lock's hash before it opens it."""
        wanted = folder / "sdist.txt"
        wanted.write_text(f"openai=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        run(
            [str(folder / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", "openai", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
        )  # fmt: skip
        with tarfile.open(folder / f"openai-{version}.tar.gz") as archive:
            archive.extractall(folder, **SAFE)

    try:
        python = python_environment(
            f"openai-suite-{version}", "pip", f"openai[aiohttp]=={version}", "pytest>=9",
            "pytest-asyncio>=1.4", "pytest-xdist", "rich", "inline-snapshot", more=unpack,
        )  # fmt: skip
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}the Python SDK's own suite: {missing}")
    return python, python.parent.parent / f"openai-{version}"


def test_120_of_the_sdk_s_155_tests_pass(suite: tuple[Path, Path], tmp_path: Path) -> None:
    python, folder = suite
    config = (Path(__file__).parent.parent / "gateway.yaml").read_text(encoding="utf-8")
    gateway = gateway_process.launch(config, folder=tmp_path / "gateway", key="My API Key")
    report = tmp_path / "report.xml"
    try:
        done = subprocess.run(
            [str(python), "-m", "pytest", *(f"tests/api_resources/{name}.py" for name in PASSING),
             "-q", "-n", "0", "-p", "no:cacheprovider", f"--junit-xml={report}",
             "-k", " and ".join(f"not {name}" for name in NOT_SERVED)],
            cwd=folder, capture_output=True, text=True, timeout=240, check=False,
            env={**gateway_process.clean_environment(tmp_path), "TEST_API_BASE_URL": gateway.api,
                 "NO_PROXY": os.environ["NO_PROXY"]},
        )  # fmt: skip
    finally:
        gateway.stop()
    said = done.stdout[-8000:] + done.stderr[-2000:] + gateway.log_text()[-2000:]
    passed = dict.fromkeys(PASSING, 0)
    for case in ET.parse(report).iter("testcase"):
        if not list(case):
            passed[case.attrib["classname"].split(".")[-2]] += 1
    assert passed == PASSING, said
    assert re.search(r"\b120 passed, 35 deselected\b", done.stdout), said
    assert done.returncode == 0, said
