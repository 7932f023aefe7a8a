"""What a catalog entry rests on: the source of every group of facts in it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from config.catalog import CatalogModel
from config.prices import Source


def sources_of(entry: CatalogModel) -> Iterator[Source]:
    """Each as often as it stands there, in the entry's order."""
    return _within(entry)


def unverified_facts(entry: CatalogModel) -> list[str]:
    """In words, each once."""
    return list(dict.fromkeys(source.text for source in sources_of(entry) if source.mark == "unverified"))


def _within(value: object) -> Iterator[Source]:
    if isinstance(value, Source):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _within(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from _within(each)
