"""Packages that only some providers need, installed as extras."""

from __future__ import annotations


class ExtraMissing(RuntimeError):
    """An extra is not installed; the text tells the operator how to."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} need the extra '{extra}': pip install 'imagegate[{extra}]'")
