"""What a target wants done to a caller's mask before it is sent (docs/normalization.md, Masks)."""

from __future__ import annotations

from dataclasses import dataclass

from config.catalog import CatalogModel
from config.inputs import Polarity
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, How


@dataclass(frozen=True, slots=True)
class MaskWork:
    """``polarity`` is what the target reads; ``size`` (width, height) is what the mask is scaled to, None
    where it stays as it is."""

    polarity: Polarity
    size: tuple[int, int] | None = None


def mask_work(call: ImageCall, entry: CatalogModel) -> MaskWork | None:
    """None where the mask goes as it came, or there is none. In strict mode it is not scaled: the target says
    what it thinks of a mask that does not fit its picture."""
    wanted = entry.inputs.mask
    if call.mask is None or wanted is None:
        return None
    size = None
    if wanted.equal_size and not call.strict and len(call.inputs) > len(call.images):
        picture, mask = call.inputs[0].pixels, call.inputs[len(call.images)].pixels
        size = picture if picture is not None and mask is not None and picture != mask else None
    return MaskWork(wanted.polarity, size) if size or wanted.polarity != "transparent" else None


def mask_adjustments(call: ImageCall, entry: CatalogModel) -> tuple[Adjustment, ...]:
    """A mask of another polarity means the same; one that is scaled is told."""
    work = mask_work(call, entry)
    if work is None or work.size is None:
        return ()
    was = call.inputs[len(call.images)].pixels
    return (Adjustment("mask", _text(was), How.EMULATED, _text(work.size)),)


def _text(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]}x{size[1]}"
