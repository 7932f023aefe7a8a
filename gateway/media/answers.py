"""Whole answers that are kept, given out later: the links in them have a shorter life than they have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from gateway.media.shelf import Opened

LINKS_WITHIN = 256 * 1024
"""Bytes of an answer that is looked into for links; one with pictures in it is larger."""


async def with_fresh_links(opened: Opened, renewed: Callable[[str], Awaitable[str]]) -> Opened:
    """The same answer with every ``url`` in its ``data`` as ``renewed`` gives it. Reads all of it. Raises
    :class:`gateway.media.shelf.MediaFailed`, and what ``renewed`` raises."""
    document = b"".join([chunk async for chunk in opened.chunks])
    try:
        found = msgspec.json.decode(document)
    except msgspec.DecodeError:
        found = None
    items = found.get("data") if isinstance(found, dict) else None
    linked = [
        item
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict) and isinstance(item.get("url"), str)
    ]
    for item in linked:
        item["url"] = await renewed(item["url"])
    if linked:
        document = msgspec.json.encode(found)

    async def chunks() -> AsyncIterator[bytes]:
        yield document

    return Opened(len(document), chunks(), opened.aclose)
