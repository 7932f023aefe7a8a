"""The size rule: the nearest size that a model makes to what a caller wants, and what became of it
(docs/normalization.md).

::

    intent_of    what the caller wants                               (intent)
    choose       the size that is sent, for each of the four kinds   (size_choice, free_sizing, listed_sizing)
    nearest      valid values, for a refusal in strict mode          (nearest_sizes)
    check_size   OpenAI's words where its own models would refuse    (size_wording)
"""

from __future__ import annotations

from gateway.images.nearest_sizes import blamed, nearest
from gateway.images.size_choice import choose, passes_strict
from gateway.images.size_wording import check_size, parse_size

__all__ = ["blamed", "check_size", "choose", "nearest", "parse_size", "passes_strict"]
