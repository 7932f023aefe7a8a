"""What becomes of input pictures that are larger than a target takes (``inputs.longest_edge``): its adapter
scales them down, and here is said so."""

from __future__ import annotations

from config.catalog import CatalogModel
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, How


def input_adjustments(call: ImageCall, entry: CatalogModel) -> tuple[Adjustment, ...]:
    """One for each picture that is known to be larger; what was not seen is sent as it may be."""
    longest = entry.inputs.longest_edge
    if longest is None:
        return ()
    seen = [size.pixels for size in list(call.inputs)[: len(call.images)]]
    return tuple(
        Adjustment("image", f"{pixels[0]}x{pixels[1]}", How.EMULATED, _within(*pixels, longest))
        for pixels in seen
        if pixels is not None and max(pixels) > longest
    )


def _within(width: int, height: int, longest: int) -> str:
    edge = max(width, height)
    return f"{max(1, round(width * longest / edge))}x{max(1, round(height * longest / edge))}"
