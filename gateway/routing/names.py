"""What targets and shapes of work are called in this room."""

from __future__ import annotations

from typing import NamedTuple, NewType

TargetName = NewType("TargetName", str)
"""``PROVIDER/MODEL``, with the provider's name from the YAML and its own name of the model."""


def target_name(provider: str, model: str) -> TargetName:
    return TargetName(f"{provider}/{model}")


class Shape(NamedTuple):
    """What decides how long a picture takes: 20 s for a medium one and 200 s for a high one are both healthy.
    ``model`` is the catalog's name, so that targets of one model can be compared."""

    model: str
    size: str = ""
    quality: str = ""
