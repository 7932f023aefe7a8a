"""What the documents point at is there: links, their anchors, and the files and rooms that they name."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.architecture.sources import SKIPPED_FOLDERS, modules, project_files
from tests.servers import ROOT

DOCUMENTS = sorted(path for path in project_files() if path.suffix == ".md")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(
    r"(?<!\\)\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]\n]+\]:\s*(\S+)", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.py|(?:[\w.-]+/)+)`")
_IN_WORDS = re.compile(r"(?<![\w./{*])((?:[\w-]+/)*[\w-]+\.(?:py|md))\b")


def prose(path: Path) -> str:
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> Iterator[str]:
    """Those into the project itself."""
    for found in _LINK.finditer(_CODE.sub("", prose(path))):
        target = found[1] or found[2]
        if not _ELSEWHERE.match(target):
            yield target


@cache
def anchors(path: Path) -> frozenset[str]:
    """As GitHub makes them of the headings: a heading that comes again gets a number."""
    seen: Counter[str] = Counter()
    made = set()
    for heading in _HEADING.findall(prose(path)):
        words = re.sub(r"\]\([^)]*\)", "", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(made | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for link in links(document):
        place, _, anchor = unquote(link).partition("#")
        target = (document.parent / place).resolve() if place else document
        known = target.suffix != ".md" or not anchor or (target.is_file() and anchor in anchors(target))
        if not target.exists() or not known:
            dead.append(link)
    assert dead == []


def test_links_and_anchors_are_found_where_they_are(tmp_path: Path) -> None:
    """The test above asserts nothing where it finds no links."""
    document = tmp_path / "a.md"
    document.write_text(
        "# One `x`: [two](b.md)\n# Again\n# Again\n[a](#one-x-two) `[no](code)` [b](b.md#c \"title\")\n"
        "```\n[no](fence.md)\n# no heading\n```\n[c](https://example.org/c)\n\n[d]: c/d.md\n"
    )  # fmt: skip
    assert list(links(document)) == ["b.md", "#one-x-two", "b.md#c", "c/d.md"]
    assert anchors(document) == {"one-x-two", "again", "again-1"}
    assert sum(len(list(links(path))) for path in DOCUMENTS) > 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_files_and_folders_that_are_named_are_there(document: Path) -> None:
    """Named from the root, from a package or a room, as `engine/planning.py` or `cli/`."""
    there = {"/" + str(path.relative_to(ROOT)) for path in project_files()}
    there |= {f"{parent}/" for path in there for parent in map(str, Path(path).parents)}
    named = [name for name in _FILE.findall(prose(document)) if name.split("/")[0] not in SKIPPED_FOLDERS]
    assert [name for name in named if not any(path.endswith("/" + name) for path in there)] == []


def test_docstrings_name_files_that_are_there() -> None:
    """With their folders where they are not beside: `docs/routing.md`, `following.py`."""
    there = {"/" + str(path.relative_to(ROOT)) for path in project_files()}
    wrong = []
    for name, tree in modules("config", "providers", "gateway"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                named = _IN_WORDS.findall(str(node.value.value))
                wrong += [
                    f"{name}:{node.lineno} names {file}"
                    for file in named
                    if not any(path.endswith("/" + file) for path in there)
                ]
    assert wrong == []


def test_the_page_on_testing_names_every_room_of_the_tests() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    rooms = {name.split(".")[1] for name, _ in modules("tests") if name.count(".") > 1}
    assert [room for room in sorted(rooms) if f"`tests/{room}/`" not in page] == []


def test_the_map_names_every_room() -> None:
    """The first block of docs/architecture.md, a line each."""
    block = ARCHITECTURE.read_text(encoding="utf-8").split("```")[1]
    mapped = {line.split("/")[0].strip() for line in block.splitlines() if "/" in line}
    rooms = {name.split(".")[1] for name, _ in modules("gateway") if name.count(".") > 1}
    assert {"config", "providers", "gateway", *rooms} - mapped == set()
