"""``stream``: events of the target's own where it has them for this call; else the whole answer as events."""

from __future__ import annotations

from collections.abc import Mapping

from config.catalog import CatalogModel
from gateway.images.fields import is_lenient
from gateway.images.fitted import How
from gateway.images.served import Served, adjusted

_NEVER = ("gif", "svg")
"""Formats that OpenAI does not stream."""


def serve_stream(
    params: Mapping[str, object], entry: CatalogModel, output_format: object, *, n: int, whole: bool
) -> Served:
    """``output_format`` and ``n`` are what the target is asked for. ``whole`` says that the gateway must have
    the whole picture, to convert it."""
    stream, partial = params.get("stream"), params.get("partial_images")
    if stream is not True:
        return _unstreamed(stream, partial, entry)
    streams = entry.streaming and (n == 1 or entry.streams_several)
    if not whole and streams and output_format not in _NEVER:
        sent: dict[str, object] = {"stream": True}
        if partial is not None:
            sent["partial_images"] = partial
        return Served(sent)
    changed = [adjusted("stream", True, How.EMULATED)]
    if partial:
        changed.append(adjusted("partial_images", partial, How.DROPPED))
    return Served(adjustments=tuple(changed))


def _unstreamed(stream: object, partial: object, entry: CatalogModel) -> Served:
    takes = is_lenient(entry) or "stream" in entry.fields
    sent = {"stream": stream} if stream is not None and takes else {}
    if partial is None:
        return Served(sent)
    if is_lenient(entry) or "partial_images" in entry.fields:
        return Served({**sent, "partial_images": partial})
    return Served(sent, (adjusted("partial_images", partial, How.DROPPED),) if partial else ())
