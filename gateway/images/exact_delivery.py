"""``fit``: exactly the pixels that were asked for, cut or padded from what the model made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.images.conversion import can_make, longest_edge
from gateway.images.defaults import size_intent
from gateway.images.fitted import Adjustment, How
from gateway.images.formats import CONVERTIBLE
from gateway.images.look import MAX_PIXELS
from gateway.images.served import adjusted
from gateway.images.wording import invalid_value


@dataclass(frozen=True, slots=True)
class Delivered:
    """``pixels`` and ``fit`` for the gateway to make, both None where the picture goes out as it came."""

    pixels: tuple[int, int] | None = None
    fit: Literal["cover", "contain"] | None = None
    adjustments: tuple[Adjustment, ...] = ()


def check_deliverable(params: Mapping[str, object]) -> None:
    """Raises ``InvalidRequest`` for exact pixels that no conversion makes, before anything is paid for.
    ``params`` are in the caller's words, with the model's defaults filled in."""
    pixels = size_intent(params).pixels
    if params.get("fit") not in ("cover", "contain") or pixels is None:
        return
    format = str(params.get("output_format", "png"))
    if format in CONVERTIBLE and not can_make(format, *pixels):
        raise invalid_value(
            "size",
            f"Invalid size '{pixels[0]}x{pixels[1]}': with 'fit' a {format} is delivered with at most "
            f"{MAX_PIXELS} pixels and {longest_edge(format)} on an edge.",
        )


def serve_fit(fit: object, asked: tuple[int, int] | None, sent: tuple[int, int] | None) -> Delivered:
    """``asked`` are the pixels of the caller's size, None where it named none; ``sent`` are those that the
    target makes, None where that is its own choice."""
    if fit != "cover" and fit != "contain":
        return Delivered()
    if asked is None:
        return Delivered(adjustments=(adjusted("fit", fit, How.IGNORED),))
    if asked == sent:
        return Delivered()
    done = adjusted("fit", fit, How.EMULATED, f"{asked[0]}x{asked[1]}")
    return Delivered(asked, "cover" if fit == "cover" else "contain", (done,))
