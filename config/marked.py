"""Documents with a part that is made from the code, between two marks; tests fail when that part is old."""

from __future__ import annotations


def renewed(text: str, begin: str, end: str, part: str) -> str:
    """The document with ``part`` between its marks. Raises ValueError where the marks are missing."""
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the document needs {begin} and {end}")
    return f"{before}{begin}\n{part.rstrip()}\n{end}{after}"
