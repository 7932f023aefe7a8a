"""What docs/telemetry.md says there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.servers import ROOT

PAGE = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")


def metrics() -> dict[str, set[str]]:
    """The labels of each."""
    return {name: labels for names, labels in _rows("metric") for name in names}


def attributes(of: str) -> set[str]:
    """Of the spans of ``a request`` or ``an upstream call``."""
    return {name for names, _ in _rows(f"of {of}") for name in names}


def _rows(head: str) -> Iterator[tuple[list[str], set[str]]]:
    """The names in the first column of a table, and the words of its second."""
    table = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([^`]+)`", cells[0])
        whole = [name if name[0] != "." else names[0].rpartition(".")[0] + name for name in names]
        yield whole, set(re.findall(r"[\w.]+", cells[1]))
