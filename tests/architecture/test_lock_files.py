"""The lock files name public registries only, so that a clone installs the same bits anywhere."""

from __future__ import annotations

import json
import re
import tomllib
from urllib.parse import urlsplit

from tests.architecture.sources import project_files, texts
from tests.servers import ROOT

PYTHON_HOSTS = {"pypi.org", "files.pythonhosted.org"}
NODE_HOST = "registry.npmjs.org"
REGISTRY_OPTIONS = ("find" + "-links", "extra-index" + "-url", "trusted" + "-host")


def test_uv_lock_names_public_hosts_only() -> None:
    urls = re.findall(r'"((?:https?|file|git\+\w+)://[^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8"))
    assert len(urls) > 100
    assert {urlsplit(url).hostname for url in urls} <= PYTHON_HOSTS
    assert {urlsplit(url).scheme for url in urls} == {"https"}


def test_every_locked_package_has_a_registry_and_hashes() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    for package in lock["package"]:
        if package["name"] == "imagegate":
            assert package["source"] == {"editable": "."}
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, package["name"]
        artefacts = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert artefacts, package["name"]
        assert all(artefact["hash"].startswith("sha256:") for artefact in artefacts), package["name"]


def test_node_locks_name_the_public_registry_only() -> None:
    for path in project_files():
        if path.name != "package-lock.json":
            continue
        for name, package in json.loads(path.read_text(encoding="utf-8"))["packages"].items():
            if name == "":
                continue
            if "resolved" in package:  # else the registry that npm is set to, checked by the digest
                url = urlsplit(package["resolved"])
                assert (url.scheme, url.hostname) == ("https", NODE_HOST), f"{path}: {name}"
            assert package["integrity"].startswith("sha512-"), f"{path}: {name}"


def test_no_file_points_an_installer_at_another_registry() -> None:
    found = [f"{path}: {option}" for path, text in texts() for option in REGISTRY_OPTIONS if option in text]
    assert found == []


def test_the_project_file_brings_no_index_of_its_own() -> None:
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    assert not {"index", "index-url", "sources", "pip"} & set(uv)


def test_the_tests_own_server_is_held_to_hashes_and_names_no_host() -> None:
    text = (ROOT / "tests" / "ministack.txt").read_text(encoding="utf-8")
    assert "://" not in text
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert len(lines) > 10
    for line in lines:
        assert re.match(r"[a-z0-9-]+==[0-9.a-z]+ .*--hash=sha256:[0-9a-f]{64}", line), line
