"""What the body of each of Stability's models on Bedrock looks like (docs/providers/bedrock.md).

A model id is ``stability.NAME-vN:N``, with ``us.`` before it where it is called through an inference profile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_ID = re.compile(r"(?:[a-z-]{2,12}\.)?stability\.(?P<name>[a-z0-9-]+?)-v\d+(?::\d+)?")


@dataclass(frozen=True, slots=True)
class Shape:
    """``pictures`` are the fields for input pictures in their order. Every edit sends ``fixed``, and
    ``unless_given`` where the caller says nothing else."""

    pictures: tuple[str, ...] = ("image",)
    prompt: bool = True
    mask: bool = False
    fixed: Mapping[str, object] = field(default_factory=dict)
    unless_given: Mapping[str, object] = field(default_factory=dict)


UNKNOWN = Shape(mask=True)
"""For ids that say nothing, such as the ARN of an application inference profile."""

_SHAPES: Mapping[str, Shape] = {
    "stable-image-core": Shape(pictures=()),
    "stable-image-ultra": Shape(pictures=()),
    # Without a strength of the caller's, the picture is changed more than kept; 1 would ignore it.
    "sd3-5-large": Shape(fixed={"mode": "image-to-image"}, unless_given={"strength": 0.7}),
    "stable-image-inpaint": Shape(mask=True),
    "stable-outpaint": Shape(),
    "stable-image-search-replace": Shape(),
    "stable-image-search-recolor": Shape(),
    "stable-image-erase-object": Shape(mask=True, prompt=False),
    "stable-image-remove-background": Shape(prompt=False),
    "stable-image-control-sketch": Shape(),
    "stable-image-control-structure": Shape(),
    "stable-image-style-guide": Shape(),
    "stable-style-transfer": Shape(pictures=("init_image", "style_image")),
    "stable-creative-upscale": Shape(),
    "stable-conservative-upscale": Shape(),
    "stable-fast-upscale": Shape(prompt=False),
}


def shape_of(model: str) -> Shape:
    match = _ID.fullmatch(model)
    return _SHAPES.get(match["name"], UNKNOWN) if match else UNKNOWN
