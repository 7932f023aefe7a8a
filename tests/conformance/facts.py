"""What an adapter is made of, and what it rests on: lines of code, and the catalog's facts, each by how far
it can be trusted."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import providers
from config.catalog import CatalogModel, load_catalog
from config.facts import sources_of
from providers.registry import ADAPTERS

_ROOT = Path(next(iter(providers.__path__)))
_BY_CATALOG = {"azure-openai": "azure/", "azure-mai": "MAI-"}
"""Types whose models have names of their owners' choice: the entries that describe them begin so."""


@dataclass(frozen=True, slots=True)
class Built:
    """``own`` are the lines of the adapter's own file or package, ``dialect`` those of packages that it
    shares with others."""

    files: tuple[str, ...]
    own: int
    dialect: int


def built(type: str) -> Built:
    home = Path(inspect.getfile(ADAPTERS[type]))
    own = sorted(home.parent.glob("*.py")) if home.parent != _ROOT else [home]
    shared = sorted({file for each in own for file in _packages(each)} - set(own))
    names = tuple(str(each.relative_to(_ROOT.parent)) for each in own if each.name != "__init__.py")
    return Built(names, _lines(own), _lines(shared))


def _packages(file: Path) -> Iterator[Path]:
    """The files of the packages within ``providers/`` that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("providers."):
            folder = _ROOT / str(node.module).split(".")[1]
            if folder.is_dir():
                yield from folder.glob("*.py")


def _lines(files: list[Path]) -> int:
    return sum(len(each.read_text("utf-8").splitlines()) for each in files)


def entries(type: str) -> list[CatalogModel]:
    """What describes the models of an account, those that were shut down left out."""
    catalog = load_catalog()
    prefix = _BY_CATALOG.get(type)
    if prefix is not None:
        return [entry for entry in catalog.entries if entry.id.startswith(prefix)]
    found = {catalog.describe(type, entry.id).id: entry for entry in catalog.served_by(type)}
    if type == "vertex":
        found |= {entry.id: entry for entry in catalog.entries if entry.id.startswith("imagen-")}
    return [entry for name in found if (entry := catalog.get(name)) is not None]


def marks(type: str) -> Counter[str]:
    """How many different facts of the catalog were read, seen second-hand, tested, or not verified."""
    found = {source for _, source in _facts(type)}
    return Counter(mark for mark, _ in found)


def unverified(type: str) -> list[tuple[str, list[str]]]:
    """Each fact that nobody has verified, with the models that rest on it."""
    found: dict[str, list[str]] = {}
    for name, (mark, text) in _facts(type):
        if mark == "unverified" and name not in found.setdefault(text, []):
            found[text].append(name)
    return list(found.items())


def _facts(type: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for entry in entries(type):
        for source in sources_of(entry):
            yield entry.id, (source.mark, source.text)
