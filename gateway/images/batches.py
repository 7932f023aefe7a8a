"""``n``: native up to the target's maximum; beyond it parallel calls."""

from __future__ import annotations

from config.catalog import CatalogModel
from gateway.images.fields import is_lenient

_SINGLE = ("svg",)
"""Formats of which every model makes one picture a call."""


def batches_of(n: int, output_format: object, entry: CatalogModel) -> tuple[int, ...]:
    """The n of each upstream call, as few as can be; they add up to ``n``."""
    several = is_lenient(entry) or "n" in entry.fields
    most = entry.max_n if several and output_format not in _SINGLE else 1
    whole, rest = divmod(n, most)
    return (most,) * whole + ((rest,) if rest else ())


def batches_text(batches: tuple[int, ...]) -> str:
    """``4+4+2``, for reports."""
    return "+".join(map(str, batches))
