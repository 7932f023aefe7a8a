"""``quality``: OpenAI's names are the vocabulary; a level that a target lacks goes to the next lower one."""

from __future__ import annotations

from config.catalog import CatalogModel
from gateway.images.fields import takes
from gateway.images.fitted import How
from gateway.images.served import Served, adjusted

_RANKS = {"low": 1, "medium": 2, "standard": 2, "high": 3, "hd": 3, "xhigh": 4, "max": 5}
"""``standard`` and ``hd`` are DALL-E's words for medium and high."""


def serve_quality(quality: object, entry: CatalogModel) -> Served:
    """What is sent for ``quality``, the caller's or the default's word (None: nothing was asked)."""
    if quality is None:
        return Served()
    if takes(entry, "quality", quality, entry.qualities):
        return Served({"quality": quality})
    if quality == "auto":
        # A target without an auto of its own chooses just the same when nothing is sent.
        return Served()
    level = _nearest(quality, entry) if "quality" in entry.fields else None
    if level is None:
        return Served(adjustments=(adjusted("quality", quality, How.DROPPED),))
    return Served({"quality": level}, (adjusted("quality", quality, How.MAPPED, level),))


def _nearest(quality: object, entry: CatalogModel) -> str | None:
    """The highest level that is not above ``quality``, else the lowest there is; of two words for one level
    the first listed. None where the target's words are no levels."""
    levels = [(_RANKS[word], word) for word in entry.qualities if word in _RANKS]
    asked = _RANKS.get(str(quality))
    if not levels or asked is None:
        return None
    below = [rank for rank, _ in levels if rank <= asked]
    wanted = max(below) if below else min(rank for rank, _ in levels)
    return next(word for rank, word in levels if rank == wanted)
