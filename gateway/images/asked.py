"""What of a call its price hangs on, and nothing else.

An estimate is made of this alone, and so calls that are equal here cost the same, whatever their prompts say:
estimates can be remembered by it, exactly and without keeping anybody's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.catalog import CatalogModel
from config.prices import PriceVersion
from config.sizing import RatioSizing
from gateway.images.call import ImageCall, InputSize
from gateway.images.input_tokens import every_input, text_bytes

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Asked:
    """``size`` and ``quality`` are ``auto`` where they were left out, None where they are no words.
    ``is_sheet``: the format's size does not tell the picture's. ``extra`` is a field that costs something
    besides. ``inputs``: one size for each picture that goes in."""

    n: int
    text_bytes: int
    size: str | None
    quality: str | None
    is_sheet: bool
    extra: str | None
    partial_images: int
    input_fidelity: str | None
    inputs: tuple[InputSize, ...]

    @property
    def is_open(self) -> bool:
        """Whether the model chooses what the price hangs on."""
        return AUTO in (self.size, self.quality)


def asked(
    entry: CatalogModel, price: PriceVersion | None, call: ImageCall, inputs: Sequence[InputSize]
) -> Asked:
    """``inputs`` are the sizes of the pictures that go in, as far as they are known."""
    params = call.params
    counting = entry.counting
    return Asked(
        n=call.n,
        text_bytes=text_bytes(call.prompt),
        size=size_asked(entry, params),
        quality=_word(params.get("quality", AUTO)),
        is_sheet=counting is not None and params.get("output_format") in counting.sheets,
        extra=None if price is None else price.extra_of(params),
        partial_images=_whole(params.get("partial_images")),
        input_fidelity=_word(params.get("input_fidelity")),
        inputs=tuple(every_input(call, inputs)),
    )


def size_asked(entry: CatalogModel, params: Mapping[str, object]) -> str | None:
    """``WIDTHxHEIGHT``, or the tier of a model that has tiers: that is what its prices name."""
    if isinstance(entry.sizing, RatioSizing):
        tier = _word(params.get("resolution", AUTO))
        return entry.sizing.default_tier if tier == AUTO else tier
    return _word(params.get("size", AUTO))


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
