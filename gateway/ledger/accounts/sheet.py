"""CSV as RFC 4180 has it, and safe to open: CRLF, quotes where needed, UTF-8, and no cell that a spreadsheet
would run.

A text that begins like a formula gets an apostrophe in front, as OWASP advises ("CSV Injection"): names,
labels and tags are other people's words. Columns that hold numbers of our own are left as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Protocol

_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""Also in the width that East Asian keyboards type; spreadsheets take both."""
_CONTROLS = frozenset("\t\r\n\0")


class Sink(Protocol):
    def write(self, text: str, /) -> object: ...


def safe(text: str) -> str:
    """``text``, with an apostrophe in front where a spreadsheet might take it for a formula."""
    if text[:1] in _CONTROLS or text.lstrip()[:1] in _STARTS:
        return "'" + text if text else text
    return text


class Sheet:
    """Rows go to ``sink``, whose newlines must not be translated."""

    def __init__(self, sink: Sink) -> None:
        self._write = csv.writer(sink, lineterminator="\r\n").writerow

    def row(self, cells: Sequence[str]) -> None:
        """Cells that other people chose must have gone through :func:`safe`."""
        self._write(cells)
