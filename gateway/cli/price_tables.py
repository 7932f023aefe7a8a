"""The tables of docs/pricing.md, made from the catalog.

``python -m gateway.cli.price_tables docs/pricing.md`` writes them anew between their two marks; a test fails
when they are old.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from config import marked
from config.catalog import CatalogModel, load_catalog
from config.sizing import ListedSizing, RatioSizing
from gateway.images.output_tokens import picture_range

BEGIN, END = "<!-- prices: begin -->", "<!-- prices: end -->"
RATES = {
    "text_in": "text in",
    "cached_text_in": "cached",
    "image_in": "pictures in",
    "cached_image_in": "cached",
    "image_out": "pictures out",
    "text_out": "text out",
}
SIZES = ("1024x1024", "1536x1024", "1024x1536", "2048x2048", "3840x2160", "2880x2880")


def render() -> str:
    entries = [entry for entry in load_catalog().entries if any(not price.free for price in entry.prices)]
    return "\n".join([*_rates(entries), *_pictures(entries), *_tables(entries)])


def renewed(text: str) -> str:
    """The document with its tables made anew. Raises ValueError where the marks are missing."""
    return marked.renewed(text, BEGIN, END, render())


def _rates(entries: Sequence[CatalogModel]) -> Iterator[str]:
    yield "### Dollars per million tokens\n"
    yield f"| model | since | {' | '.join(RATES.values())} | seen | source |"
    yield f"| --- | --- |{' --- |' * len(RATES)} --- | --- |"
    for entry in entries:
        for price in entry.prices:
            if price.tokens is None:
                continue
            rates = [_rate(getattr(price.tokens, name)) for name in RATES]
            seen = f"{price.source.mark} {price.source.verified_on}"
            cells = [f"`{entry.id}`", price.version, *rates, seen, price.source.text]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _pictures(entries: Sequence[CatalogModel]) -> Iterator[str]:
    yield "### Output tokens and dollars of one picture, without its prompt\n"
    yield "Where two figures stand, the first is expected and the second is held.\n"
    for alike in _alike(entries):
        first = alike[0]
        qualities = [quality for quality in first.qualities if quality != "auto"] or ["any"]
        yield f"{', '.join(f'`{entry.id}`' for entry in alike)}:\n"
        yield f"| size | {' | '.join(qualities)} |"
        yield f"| --- |{' --- |' * len(qualities)}"
        for size in _sizes(first):
            cells = [_cell(first, quality, size) for quality in qualities]
            yield f"| {size} | {' | '.join(cells)} |"
        yield ""


def _sizes(entry: CatalogModel) -> Sequence[str]:
    """Sizes, or the tiers that stand for them."""
    if isinstance(entry.sizing, ListedSizing):
        return entry.sizing.sizes
    if isinstance(entry.sizing, RatioSizing):
        return entry.sizing.tiers or [entry.sizing.default_tier]
    return SIZES


def _alike(entries: Sequence[CatalogModel]) -> list[list[CatalogModel]]:
    """Entries that one table describes: the same rates of pictures, counted by the same rule."""
    groups: list[list[CatalogModel]] = []
    for entry in entries:
        if entry.counting is None or entry.prices[-1].tokens is None:
            continue
        for group in groups:
            if _facts(group[0]) == _facts(entry):
                group.append(entry)
                break
        else:
            groups.append([entry])
    return groups


def _facts(entry: CatalogModel) -> object:
    tokens, counting = entry.prices[-1].tokens, entry.counting
    return (tokens and tokens.image_out, counting and (counting.output, counting.spread), entry.sizing)


def _cell(entry: CatalogModel, quality: str, size: str) -> str:
    rates = entry.prices[-1].tokens
    made = picture_range(entry.counting, quality, size) if entry.counting is not None else None
    if rates is None or made is None:
        raise ValueError(f"{entry.id} has no tokens for {quality} {size}")
    shown = dict.fromkeys(made[1:])
    return " · ".join(f"{tokens} = ${(tokens * rates.image_out / 10**6).normalize():f}" for tokens in shown)


def _tables(entries: Sequence[CatalogModel]) -> Iterator[str]:
    yield "### Dollars per picture, by table\n"
    yield "| model | since | quality | size | dollars | seen |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for entry in entries:
        for price in entry.prices:
            for quality, sizes in (price.image_table or {}).items():
                for size, amount in sizes.items():
                    seen = f"{price.source.mark} {price.source.verified_on}"
                    yield f"| `{entry.id}` | {price.version} | {quality} | {size} | ${amount} | {seen} |"


def _rate(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount:.2f}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
