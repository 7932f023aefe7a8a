"""The six examples that users of gpt-image-2 start from, unchanged but for base URL and key.

Each prints the answer's ``data[0].url`` (curl: the whole answer), and what lies there is the picture.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import NOT_TESTED
from tests.environments import locked_node_environment, node
from tests.gateway_process import Gateway, clean_environment
from tests.servers import NotObtainable

HERE = Path(__file__).parent
NODE_SDK = HERE.parent / "node"


@pytest.fixture
def folder(picture: bytes, tmp_path: Path) -> Path:
    """Where a reader of the examples would sit: with a picture to edit."""
    (tmp_path / "source.png").write_bytes(picture)
    return tmp_path


def printed(command: list[str], folder: Path, gateway: Gateway) -> str:
    told = {"BASE_URL": f"{gateway.base_url}/openai/v1", "API_KEY": gateway.key}
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(folder, told), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def check_picture(url: str, gateway: Gateway) -> None:
    """The link needs no key, and what it gives is what was asked for."""
    assert url.startswith(gateway.base_url), url
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["content-type"] == "image/png"
        image = Image.open(io.BytesIO(answer.read()))
    image.load()
    assert (image.format, image.size) == ("PNG", (1024, 1024))


@pytest.mark.parametrize("example", ["generate.py", "edit.py"])
def test_a_python_example_of_the_card_prints_a_link(example: str, gateway: Gateway, folder: Path) -> None:
    check_picture(printed([sys.executable, str(HERE / example)], folder, gateway), gateway)


@pytest.mark.parametrize("example", ["generate.sh", "edit.sh"])
def test_a_curl_example_of_the_card_answers_a_link(example: str, gateway: Gateway, folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip(f"{NOT_TESTED}the card's curl examples: no curl on PATH")
    answer = json.loads(printed(["sh", str(HERE / example)], folder, gateway))
    assert isinstance(answer["created"], int)
    (item,) = answer["data"]
    assert "b64_json" not in item
    check_picture(item["url"], gateway)


@pytest.mark.node
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("node-sdk")
@pytest.mark.parametrize("example", ["generate.mjs", "edit.mjs"])
def test_a_javascript_example_of_the_card_prints_a_link(example: str, gateway: Gateway, folder: Path) -> None:
    try:
        binary, _ = node()
        packages = locked_node_environment("node-sdk", NODE_SDK)
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}the Node SDK: {missing}")
    shutil.copy(HERE / example, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    check_picture(printed([binary, example], folder, gateway), gateway)
