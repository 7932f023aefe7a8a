"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

from tests.architecture.sources import modules, project_files, texts
from tests.servers import ROOT

UNFINISHED = re.compile(
    "TO" + r"DO|FIX" + r"ME|\bXX" + r"X\b|NotImplemented" + r"Error|pytest\.mark\.sk" + r"ip\b"
)
MONEY = re.compile(r"nano|usd|dollar|price|cost|spent", re.IGNORECASE)
HOMES = re.compile(r"(?<![\w.])/(?:root|home/[a-z][\w-]*|Users/[A-Z]\w*)/")


_MONEY_ROOMS = (
    "gateway.images.pricing",
    "gateway.images.estimate",
    "gateway.images.settlement",
    "gateway.ledger.",
    "gateway.quota.",
    "gateway.engine.admission",
    "gateway.engine.books",
)


def test_money_never_passes_through_a_float() -> None:
    """Amounts are integer nano-dollars and Decimal. Where they are handled, the only floats are durations."""
    wrong = []
    for name, tree in modules("gateway"):
        if not name.startswith(_MONEY_ROOMS):
            continue
        if not MONEY.search(ast.unparse(tree)):
            continue
        durations = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("SECONDS")
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and id(node) not in durations:
                wrong.append(f"{name}:{node.lineno} has the float {node.value}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
                wrong.append(f"{name}:{node.lineno} calls float()")
    assert wrong == []


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{path}:{number}"
        for path, text in texts()
        if path.endswith((".py", ".sh", ".js", ".mjs", ".html", ".md", ".toml", ".yaml"))
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    own = {
        str(path)
        for path in (ROOT, Path(sys.base_prefix), Path(os.path.expanduser("~")))
        if len(path.parts) > 2
    }
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if HOMES.search(line) or any(place + "/" in line for place in own if not place.startswith("/usr"))
    ]
    assert found == []


def test_every_dependency_has_its_reason_written_down() -> None:
    """A table row each, in docs/architecture.md or docs/testing.md: what is not worth a line is not worth
    a dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runs = [
        *project["project"]["dependencies"],
        *chain(*project["project"]["optional-dependencies"].values()),
    ]
    tests = [line for line in chain(*project["dependency-groups"].values()) if isinstance(line, str)]
    assert _names(runs) - _explained("architecture.md") == set()
    assert _names(tests) - _explained("testing.md") == set()


def _names(requirements: list[str]) -> set[str]:
    return {match[0].lower() for line in requirements if (match := re.match(r"[A-Za-z0-9._-]+", line))}


def _explained(document: str) -> set[str]:
    """The words of the first column of a document's tables."""
    lines = (ROOT / "docs" / document).read_text(encoding="utf-8").lower().splitlines()
    rows = [line.split("|")[1] for line in lines if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"[a-z0-9][a-z0-9._-]*", row)}


def test_scripts_can_be_run() -> None:
    for name in ("scripts/serve", "scripts/test", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), f"{name} has no run bit"
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_test_files_of_one_name_can_live_in_different_rooms() -> None:
    """pytest imports by path only under ``importlib``; otherwise two test_records.py cannot be collected."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"][
        "ini_options"
    ]
    folders = {path.parent for path in project_files() if path.match("tests/**/test_*.py")}
    packages = all((folder / "__init__.py").exists() for folder in folders)
    assert packages or "--import-mode=importlib" in options["addopts"]
